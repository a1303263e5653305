//! The poller against a Mesos stand-in: whatever Mesos does, every source has an answer at once.

#![allow(clippy::unwrap_used)] // a test ends at what it did not expect, also outside of its own function

mod resources;
mod stand_in;
mod tls;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use enrich::{Config, Contexts, Credentials, IdentityConfig, MesosConfig, Reconcile};
use metric::{Dimensions, Origin, ReadAs, Source};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use stand_in::{Reply, StandIn, good};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

const KEY: &str = include_str!("../data/test-only-key.pem");

struct Running {
    contexts: Contexts,
    retired: mpsc::Receiver<String>,
    _stop: DropGuard,
}

// Fast, and with a time-out that only those calls reach that hang.
fn config(url: String) -> Config {
    let identity = IdentityConfig {
        detect_ip: "/nonexistent".into(),
        cluster_id_file: "/nonexistent".into(),
        ..IdentityConfig::default()
    };
    let mesos = MesosConfig {
        timeout: Duration::from_millis(500),
        answer_bytes: 1 << 20,
        ..MesosConfig::new(url)
    };
    Config {
        identity,
        mesos: Some(mesos),
        refresh: Duration::from_millis(20),
        resources: None,
        every: Duration::from_millis(20),
        ..Config::default()
    }
}

fn run(config: Config) -> Running {
    let (contexts, poller, retired) = Contexts::new(config).unwrap();
    let cancel = CancellationToken::new();
    tokio::spawn(poller.run(cancel.clone(), |_| ()));
    Running { contexts, retired, _stop: cancel.drop_guard() }
}

fn container(id: &str) -> Arc<Source> {
    Source::new(Origin::Container { container_id: id.into() }, ReadAs::default())
}

impl Running {
    fn who(&self, id: &str) -> Dimensions {
        let dimensions = self.contexts.dimensions(&container(id)).dimensions;
        (*dimensions).clone()
    }

    async fn until(&self, id: &str, is: impl Fn(&Dimensions) -> bool) -> Dimensions {
        let mut changes = self.contexts.changes();
        loop {
            changes.borrow_and_update();
            let who = self.who(id);
            if is(&who) {
                return who;
            }
            changes.changed().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_registered_containers_first_batch_is_labelled_in_full() {
    let mesos = StandIn::start(|asked, _| good(&asked.call)).await;
    let running = run(config(mesos.url()));
    running.contexts.registered("c");
    let who = running.until("c", |who| !who.task_id.is_empty() && !who.agent_id.is_empty()).await;
    assert!(running.contexts.dimensions(&container("c")).known);
    assert_eq!(
        who.identity().map(|(_, value)| value.to_owned()),
        [
            "F",
            "E",
            "c",
            "x-S1",
            "",
            "10.0.5.42",
            "p",
            "executor",
            "marathon",
            "slave_public",
            "dcos_marathon",
            "t.1",
            "t"
        ]
    );
    assert_eq!(who.labels.into_iter().collect::<Vec<_>>(), [("FOO".into(), "bar".into())]);
    let bodies = ["GET_STATE", "GET_CONTAINERS", "GET_AGENT"].map(|call| {
        let asked = mesos.asked(call).remove(0);
        assert_eq!(asked.path, "POST /api/v1");
        assert_eq!(asked.media, [Some("application/json".into()), Some("application/json".into())]);
        assert_eq!(asked.authorization, None);
        asked.body
    });
    let shown = json!({"show_nested": true, "show_standalone": true});
    assert_eq!(
        bodies,
        [
            json!({"type": "GET_STATE"}),
            json!({"type": "GET_CONTAINERS", "get_containers": shown}),
            json!({"type": "GET_AGENT"})
        ]
    );
    let health = running.contexts.health();
    assert_eq!((health.failures, health.last_error), (0, None));
    assert!(health.last_success.is_some());
}

#[tokio::test]
async fn whatever_mesos_answers_a_container_has_its_id_and_is_labelled_once_mesos_is_well() {
    for bad in [
        Reply::Raw(500, "Internal error"),
        Reply::Raw(503, "Agent has not finished recovery"),
        Reply::Raw(401, ""),
        Reply::Raw(302, ""),
        Reply::Raw(204, ""),
        Reply::Raw(200, ""),
        Reply::Raw(200, "<html>"),
        Reply::Raw(200, "[[[[[[[["),
        Reply::Raw(200, r#"{"type":"GET_FLAGS","get_flags":{}}"#),
        Reply::Json(json!({"type": "GET_STATE", "get_containers": [], "get_state": 3})),
        Reply::Hang,
        Reply::Cut,
        Reply::Endless,
    ] {
        let (bad_now, shape) = (bad.clone(), format!("{bad:?}"));
        let mesos = StandIn::start(
            move |asked, before| {
                if before < 6 { bad_now.clone() } else { good(&asked.call) }
            },
        )
        .await;
        let mut config = config(mesos.url());
        if let Some(mesos) = &mut config.mesos {
            mesos.timeout = Duration::from_millis(60);
        }
        let running = run(config);
        running.contexts.registered("c");
        // The second poll has begun, so the first is over.
        mesos.more(4).await;
        let context = running.contexts.dimensions(&container("c"));
        assert_eq!((&*context.dimensions.container_id, context.known), ("c", false), "{shape}");
        let health = running.contexts.health();
        assert!(health.failures > 0 && health.last_success.is_none(), "{shape}: {health:?}");
        let error = health.last_error.unwrap();
        assert!(error.contains("GET_STATE of the Mesos agent failed"), "{shape}: {error}");
        assert!(!error.contains(&mesos.address.to_string()), "{error}");
        let who = running.until("c", |who| !who.task_id.is_empty()).await;
        assert_eq!(who.framework_name, "marathon", "{shape}");
    }
}

#[tokio::test]
async fn a_call_that_fails_alone_does_not_cost_what_the_other_says() {
    let state_only = StandIn::start(|asked, _| match asked.call.as_str() {
        "GET_CONTAINERS" => Reply::Raw(500, ""),
        call => good(call),
    });
    let running = run(config(state_only.await.url()));
    running.contexts.registered("c");
    let who = running.until("c", |who| !who.framework_id.is_empty()).await;
    assert_eq!((&*who.task_name, &*who.executor_name), ("t", "executor"));

    let containers_only = StandIn::start(|asked, _| match asked.call.as_str() {
        "GET_STATE" => Reply::Cut,
        call => good(call),
    });
    let running = run(config(containers_only.await.url()));
    running.contexts.registered("c");
    let who = running.until("c", |who| !who.framework_id.is_empty()).await;
    assert_eq!((&*who.task_name, &*who.executor_name), ("", "executor"));
    assert!(!running.contexts.dimensions(&container("c")).known);
}

#[tokio::test]
async fn a_container_that_mesos_tells_of_late_is_labelled_then() {
    let mesos = StandIn::start(|asked, before| match asked.call.as_str() {
        "GET_STATE" if before < 9 => Reply::Json(json!({"type": "GET_STATE", "get_state": {}})),
        "GET_CONTAINERS" if before < 6 => {
            Reply::Json(json!({"type": "GET_CONTAINERS", "get_containers": {}}))
        }
        call => good(call),
    })
    .await;
    let running = run(config(mesos.url()));
    running.contexts.registered("c");
    let listed = running.until("c", |who| !who.executor_id.is_empty()).await;
    assert_eq!((&*listed.task_id, &*listed.parent_container_id), ("", "p"));
    let whole = running.until("c", |who| !who.task_id.is_empty()).await;
    assert_eq!(whole.task_id, "t.1");
}

#[tokio::test]
async fn mesos_may_come_after_us() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let running = run(config(format!("http://{address}/")));
    running.contexts.registered("c");
    assert_eq!(running.who("c").container_id, "c");
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let _mesos = StandIn::serve(listener, |asked, _| good(&asked.call));
    running.until("c", |who| who.task_id == "t.1").await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_call_that_hangs() {
    let mesos = StandIn::start(|_, _| Reply::Hang).await;
    let mut config = config(mesos.url());
    if let Some(mesos) = &mut config.mesos {
        mesos.timeout = Duration::from_hours(1);
    }
    let (_contexts, poller, _retired) = Contexts::new(config).unwrap();
    let cancel = CancellationToken::new();
    let run = tokio::spawn(poller.run(cancel.clone(), |_| ()));
    mesos.more(1).await;
    cancel.cancel();
    run.await.unwrap();
}

#[tokio::test]
async fn a_container_that_mesos_does_not_have_any_more_is_retired_once() {
    let mesos = StandIn::start(|asked, _| good(&asked.call)).await;
    let rule = Reconcile { apart: Duration::from_millis(30), age: Duration::from_millis(30) };
    let mut running = run(Config { reconcile: Some(rule), ..config(mesos.url()) });
    running.contexts.registered("gone");
    running.contexts.taken_up("gone");
    running.contexts.registered("c");
    running.contexts.registered("hidden");
    assert_eq!(running.retired.recv().await.as_deref(), Some("gone"));
    mesos.more(9).await;
    assert!(running.retired.try_recv().is_err());
}

#[tokio::test]
async fn an_agent_that_recovers_or_hides_its_containers_retires_nothing() {
    for containers in [
        Reply::Raw(503, "Agent has not finished recovery"),
        Reply::Json(json!({"type": "GET_CONTAINERS", "get_containers": {}})),
        Reply::Json(json!({"type": "GET_CONTAINERS", "get_containers": {"containers": [{}]}})),
    ] {
        let mesos = StandIn::start(move |asked, _| match asked.call.as_str() {
            "GET_CONTAINERS" => containers.clone(),
            _ => Reply::Raw(503, "Agent has not finished recovery"),
        })
        .await;
        let rule = Reconcile { apart: Duration::ZERO, age: Duration::ZERO };
        let mut running = run(Config { reconcile: Some(rule), ..config(mesos.url()) });
        running.contexts.registered("c");
        running.contexts.taken_up("c");
        mesos.more(12).await;
        assert!(running.retired.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_token_file_is_read_anew_for_each_call() {
    let mesos = StandIn::start(|asked, _| match asked.authorization.as_deref() {
        Some("token=second") => good(&asked.call),
        _ => Reply::Raw(401, ""),
    })
    .await;
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("token");
    let mut config = config(mesos.url());
    if let Some(mesos) = &mut config.mesos {
        mesos.credentials = Credentials::TokenFile(file.clone());
    }
    std::fs::write(&file, "first\n").unwrap();
    let running = run(config);
    running.contexts.registered("c");
    mesos.more(4).await;
    assert_eq!(mesos.asked("GET_STATE")[0].authorization.as_deref(), Some("token=first"));
    let error = running.contexts.health().last_error.unwrap();
    assert!(error.contains("401") && !error.contains("first"), "{error}");
    // As a whole, as whoever renews a token should.
    std::fs::write(root.path().join("new"), "second\n").unwrap();
    std::fs::rename(root.path().join("new"), &file).unwrap();
    running.until("c", |who| who.task_id == "t.1").await;
}

// The token that the log-in service gives out, if the log-in is signed by the key.
fn log_in(body: &Value) -> Reply {
    let key = PrivatePkcs8KeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let key = RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).unwrap();
    let (signed, signature) = body["token"].as_str().unwrap().rsplit_once('.').unwrap();
    let verified = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref())
        .verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap());
    if verified.is_ok() && body["uid"] == "dcos_weir" {
        Reply::Json(json!({ "token": "granted" }))
    } else {
        Reply::Raw(401, r#"{"title":"t","description":"d","code":"ERR_INVALID_CREDENTIALS"}"#)
    }
}

fn with_account(mesos: &StandIn, uid: &str) -> (tempfile::TempDir, Config) {
    let root = tempfile::tempdir().unwrap();
    let file: PathBuf = root.path().join("service_account.json");
    let account = json!({"uid": uid, "private_key": KEY, "scheme": "RS256",
        "login_endpoint": format!("{}/acs/api/v1/auth/login", mesos.url())});
    std::fs::write(&file, account.to_string()).unwrap();
    let ca_file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/test-only-ca.pem");
    let mut config = config(mesos.url());
    if let Some(mesos) = &mut config.mesos {
        mesos.credentials = Credentials::ServiceAccount(file);
        mesos.ca_file = Some(ca_file.into());
    }
    (root, config)
}

#[tokio::test]
async fn a_service_account_logs_in_once_when_it_is_refused_and_asks_again() {
    let mesos =
        StandIn::start(|asked, _| match (asked.path.as_str(), asked.authorization.as_deref()) {
            ("POST /acs/api/v1/auth/login", None) => log_in(&asked.body),
            ("POST /api/v1", Some("token=granted")) => good(&asked.call),
            _ => Reply::Raw(401, ""),
        })
        .await;
    let (_root, config) = with_account(&mesos, "dcos_weir");
    let running = run(config);
    running.contexts.registered("c");
    running.until("c", |who| who.task_id == "t.1").await;
    mesos.more(6).await;
    let shown: Vec<_> =
        mesos.asked("GET_STATE").into_iter().map(|asked| asked.authorization).collect();
    assert_eq!(shown[..2], [None, Some("token=granted".to_owned())]);
    assert!(shown[2..].iter().all(|shown| shown.as_deref() == Some("token=granted")));
    assert_eq!(mesos.asked("").len(), 1, "one log-in serves all calls");
    assert_eq!(running.contexts.health().failures, 0);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_ends() {
    let end = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 60;
    let claims = URL_SAFE_NO_PAD.encode(json!({ "exp": end }).to_string());
    let mesos = StandIn::start(move |asked, before| {
        match (asked.path.as_str(), asked.authorization.as_deref()) {
            ("POST /acs/api/v1/auth/login", _) => {
                Reply::Json(json!({ "token": format!("e30.{claims}.{before}") }))
            }
            (_, Some(_)) => good(&asked.call),
            _ => Reply::Raw(401, ""),
        }
    })
    .await;
    let (_root, config) = with_account(&mesos, "dcos_weir");
    let running = run(config);
    running.contexts.registered("c");
    running.until("c", |who| who.task_id == "t.1").await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(49)).await;
    tokio::time::resume();
    while mesos.asked("").len() < 2 {
        mesos.more(1).await;
    }
    mesos.more(4).await;
    let mut shown: Vec<_> =
        mesos.asked("GET_STATE").into_iter().filter_map(|asked| asked.authorization).collect();
    shown.dedup();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert_eq!(mesos.asked("").len(), 2);
}

#[tokio::test]
async fn an_agent_that_always_refuses_causes_no_storm_of_log_ins() {
    let mesos = StandIn::start(|asked, _| match asked.path.as_str() {
        "POST /acs/api/v1/auth/login" => log_in(&asked.body),
        _ => Reply::Raw(401, ""),
    })
    .await;
    for (uid, told) in [("dcos_weir", "HTTP 401"), ("dcos_other", "ERR_INVALID_CREDENTIALS")] {
        let logged_in = mesos.asked("").len();
        let (_root, config) = with_account(&mesos, uid);
        let (contexts, poller, _retired) = Contexts::new(config).unwrap();
        let cancel = CancellationToken::new();
        let run = tokio::spawn(poller.run(cancel.clone(), |_| ()));
        // The first poll tells of the log-in that failed.
        let mut errors = Vec::new();
        while contexts.health().polls < 6 {
            mesos.more(1).await;
            errors.extend(contexts.health().last_error);
        }
        let shown = format!("{contexts:?}");
        assert!(!shown.contains("granted") && !shown.contains("BEGIN"), "{shown}");
        cancel.cancel();
        run.await.unwrap();
        assert_eq!(mesos.asked("").len(), logged_in + 1, "{uid}");
        assert!(errors.iter().any(|error| error.contains(told)), "{errors:?}");
        assert!(!errors.iter().any(|error| error.contains("granted") || error.contains("BEGIN")));
    }
}

#[tokio::test]
async fn an_https_agent_is_believed_by_its_ca_only() {
    let data = |name: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let address = tls::agent();
    let mut config = config(format!("https://{address}"));
    if let Some(mesos) = &mut config.mesos {
        mesos.ca_file = Some(data("test-only-ca.pem"));
    }
    let running = run(config.clone());
    running.contexts.registered("c");
    running.until("c", |who| who.task_id == "t.1").await;

    // The agent's own certificate does not vouch for itself.
    if let Some(mesos) = &mut config.mesos {
        mesos.ca_file = Some(data("test-only-srv.pem"));
    }
    let running = run(config.clone());
    while running.contexts.health().polls == 0 {
        tokio::task::yield_now().await;
    }
    let error = running.contexts.health().last_error.unwrap();
    assert!(error.contains("certificate"), "{error}");

    if let Some(mesos) = &mut config.mesos {
        mesos.ca_file = Some(data("test-only-key.pem"));
    }
    let error = Contexts::new(config.clone()).unwrap_err().to_string();
    assert!(error.contains("holds no PEM certificate"), "{error}");
    if let Some(mesos) = &mut config.mesos {
        mesos.ca_file = Some("/nonexistent".into());
    }
    assert!(Contexts::new(config).is_err());
}

#[tokio::test]
async fn a_password_in_the_address_is_shown_nowhere() {
    let config = config("http://user:hidden@127.0.0.1:1".to_owned());
    assert!(!format!("{config:?}").contains("hidden"));
    let (contexts, poller, _retired) = Contexts::new(config).unwrap();
    assert!(!format!("{poller:?} {contexts:?}").contains("hidden"));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_the_start_and_not_repeated() {
    for url in ["", "10.0.0.1:5051", "ftp://h", "http://", "user:hidden@10.0.0.1:5051", "unix:/x"] {
        let error = Contexts::new(config(url.to_owned())).unwrap_err().to_string();
        assert!(error.contains("http://HOST:PORT") && !error.contains("hidden"), "{error}");
    }
}
