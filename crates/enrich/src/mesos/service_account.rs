use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Client, StatusCode, Url};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;

use super::credentials::Secret;
use super::{body, reason};
use crate::directory::read_bounded;

const FILE_BYTES: u64 = 64 * 1024;
const ANSWER_BYTES: usize = 64 * 1024;

// How long the log-in's own signature is good for.
const SIGNATURE_LIFE: Duration = Duration::from_mins(5);

// How long the token is asked to live; what it says itself counts, up to a month.
const TOKEN_LIFE: Duration = Duration::from_hours(1);
const LONGEST_LIFE: Duration = Duration::from_hours(24 * 30);

/// A successful log-in.
pub(crate) struct LogIn {
    pub(super) token: Secret,
    /// How long the token is good for, from now.
    pub(crate) life: Duration,
}

#[derive(Deserialize)]
struct File {
    uid: String,
    private_key: String,
    login_endpoint: String,
}

/// Gets a token for the service account in this file. The file is read each time, for its key may
/// be exchanged. What went wrong is told without a secret.
pub(super) async fn log_in(client: &Client, file: &Path) -> Result<LogIn, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let path = file.to_owned();
    let prepared = tokio::task::spawn_blocking(move || prepare(&path, now)).await;
    let (endpoint, request) = prepared.map_err(|error| error.to_string())??;
    let request = client
        .post(endpoint)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(request.0);
    let response = request.send().await.map_err(reason)?;
    let status = response.status();
    let answer = body(response, ANSWER_BYTES).await?;
    if status != StatusCode::OK {
        return Err(format!("HTTP {status}{}", error_code(&answer)));
    }
    read_log_in(&answer, now).ok_or_else(|| "the answer holds no token".to_owned())
}

/// Reads what is answered to a log-in.
pub(crate) fn read_log_in(answer: &[u8], now: Duration) -> Option<LogIn> {
    let token = token_of(answer)?;
    let life = expiry(&token).map_or(TOKEN_LIFE, |expiry| expiry.saturating_sub(now));
    Some(LogIn { token, life: life.min(LONGEST_LIFE) })
}

// Where to log in, and with what.
fn prepare(file: &Path, now: Duration) -> Result<(Url, Secret), String> {
    let bytes = read_bounded(file, FILE_BYTES).map_err(|error| error.to_string())?;
    let bytes = bytes.ok_or_else(|| format!("the file has more than {FILE_BYTES} bytes"))?;
    // The parser's own words might quote the key.
    let account: File = serde_json::from_slice(&bytes)
        .map_err(|_| "the file is no JSON object of uid, private_key and login_endpoint")?;
    let endpoint = Url::parse(&account.login_endpoint).ok();
    let endpoint = endpoint.filter(|url| matches!(url.scheme(), "http" | "https"));
    let endpoint = endpoint.ok_or("login_endpoint is no http or https address")?;
    let key = key(&account.private_key)?;
    let signed = sign(&key, &account.uid, now + SIGNATURE_LIFE)?;
    let exp = (now + TOKEN_LIFE).as_secs();
    let request = json!({"uid": account.uid, "token": signed.0, "exp": exp});
    Ok((endpoint, Secret(request.to_string())))
}

fn key(pem: &str) -> Result<RsaKeyPair, String> {
    let der = PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "private_key is no PEM of a private key")?;
    let key = match &der {
        PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(_) | _ => return Err("private_key is no RSA key".to_owned()),
    };
    key.map_err(|error| format!("private_key cannot be used: {error}"))
}

// A JSON web token that says who we are until then.
fn sign(key: &RsaKeyPair, uid: &str, until: Duration) -> Result<Secret, String> {
    let header = json!({"alg": "RS256", "typ": "JWT"}).to_string();
    let claims = json!({"uid": uid, "exp": until.as_secs()}).to_string();
    let mut token = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), token.as_bytes(), &mut signature)
        .map_err(|_| "the private key does not sign")?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(Secret(token))
}

fn token_of(answer: &[u8]) -> Option<Secret> {
    #[derive(Deserialize)]
    struct Answer {
        token: String,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    (!answer.token.is_empty()).then_some(Secret(answer.token))
}

// When the token ends by its own word, in unix time.
fn expiry(token: &Secret) -> Option<Duration> {
    #[derive(Deserialize)]
    struct Claims {
        exp: f64,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.0.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Duration::try_from_secs_f64(claims.exp).ok()
}

// DC/OS's word for what is wrong, if it is one that can hold no secret.
pub(crate) fn error_code(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        code: String,
    }
    let code = serde_json::from_slice(answer).ok().map(|answer: Answer| answer.code);
    let is_word = |code: &String| {
        code.len() < 64 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
    };
    code.filter(is_word).map(|code| format!(", {code}")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
