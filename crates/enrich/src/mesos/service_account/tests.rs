use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use super::*;

const KEY: &str = include_str!("../../../tests/data/test-only-key.pem");

#[test]
fn a_log_in_is_signed_by_the_accounts_key_and_soon_over() {
    let key = key(KEY).unwrap();
    let token = sign(&key, "dcos_weir", Duration::from_secs(1_700_000_300)).unwrap().0;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref())
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap())
        .unwrap();
    let parts: Vec<Value> = signed
        .split('.')
        .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
        .collect();
    assert_eq!(parts[0], json!({"alg": "RS256", "typ": "JWT"}));
    assert_eq!(parts[1], json!({"uid": "dcos_weir", "exp": 1_700_000_300}));
}

#[test]
fn the_requests_body_is_that_of_the_service_accounts_api() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let account = json!({"uid": "dcos_weir", "private_key": KEY, "scheme": "RS256",
        "login_endpoint": "https://leader.mesos/acs/api/v1/auth/login"});
    std::fs::write(file.path(), account.to_string()).unwrap();
    let (endpoint, body) = prepare(file.path(), Duration::from_secs(1_700_000_000)).unwrap();
    assert_eq!(endpoint.as_str(), "https://leader.mesos/acs/api/v1/auth/login");
    let body: Value = serde_json::from_str(&body.0).unwrap();
    assert_eq!((&body["uid"], &body["exp"]), (&json!("dcos_weir"), &json!(1_700_003_600)));
    let claims = body["token"].as_str().unwrap().split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["exp"], 1_700_000_300);
}

#[test]
fn a_file_that_is_no_service_account_is_refused_without_quoting_it() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let broken = KEY.replace("MII", "SECRET");
    for content in [
        String::new(),
        KEY.to_owned(),
        json!({"uid": "a", "private_key": 5, "login_endpoint": "http://h"}).to_string(),
        json!({"uid": "a", "private_key": KEY, "login_endpoint": "SECRET"}).to_string(),
        json!({"uid": "a", "private_key": "SECRET", "login_endpoint": "http://h"}).to_string(),
        json!({"uid": "a", "private_key": broken, "login_endpoint": "http://h"}).to_string(),
        "x".repeat(100_000),
    ] {
        std::fs::write(file.path(), &content).unwrap();
        let error = prepare(file.path(), Duration::ZERO).unwrap_err();
        assert!(!error.contains("SECRET") && !error.contains("BEGIN"), "{error}");
    }
}

#[test]
fn a_tokens_own_end_counts() {
    let token = |claims: &str| Secret(format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims)));
    assert_eq!(expiry(&token(r#"{"exp":1700000000}"#)), Some(Duration::from_secs(1_700_000_000)));
    for claims in ["", "{}", r#"{"exp":-1}"#, r#"{"exp":"1"}"#, r#"{"exp":1e300}"#] {
        assert_eq!(expiry(&token(claims)), None, "{claims}");
    }
    assert_eq!(expiry(&Secret("opaque".into())), None);
}

#[test]
fn dcos_word_for_what_is_wrong_is_told_only_if_it_is_a_word() {
    assert_eq!(error_code(br#"{"code":"ERR_INVALID_CREDENTIALS"}"#), ", ERR_INVALID_CREDENTIALS");
    for answer in ["", "<html>", r#"{"code":"the key was: abc"}"#, r#"{"code":7}"#] {
        assert_eq!(error_code(answer.as_bytes()), "");
    }
}
