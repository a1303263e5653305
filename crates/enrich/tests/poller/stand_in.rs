//! A Mesos agent and a log-in service that say what a test tells them to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is answered to one call.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Json(Value),
    Raw(u16, &'static str),
    /// Nothing, ever.
    Hang,
    /// A good beginning, then the end of the connection.
    Cut,
    /// Good for as long as anybody reads.
    Endless,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// The call's type, or nothing at log-ins.
    pub(crate) call: String,
    pub(crate) body: Value,
    pub(crate) authorization: Option<String>,
    pub(crate) media: [Option<String>; 2],
}

type Script = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

#[derive(Clone)]
pub(crate) struct StandIn {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    count: watch::Sender<usize>,
}

impl StandIn {
    /// Answers as `script` says; it is given the request and how many came before.
    pub(crate) async fn start(
        script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, script)
    }

    pub(crate) fn serve(
        listener: TcpListener,
        script: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let stand_in = Self { address, asked: Arc::default(), count: watch::Sender::new(0) };
        let (served, script) = (stand_in.clone(), Arc::new(script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(served.clone().connection(stream, script.clone()));
            }
        });
        stand_in
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests of this type so far.
    pub(crate) fn asked(&self, call: &str) -> Vec<Asked> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.call == call).cloned().collect()
    }

    /// Until so many requests of any type have come, from now on.
    pub(crate) async fn more(&self, requests: usize) {
        let mut count = self.count.subscribe();
        let target = *count.borrow() + requests;
        count.wait_for(|count| *count >= target).await.unwrap();
    }

    async fn connection(self, stream: TcpStream, script: Arc<Script>) {
        let service = service_fn(|request| self.clone().answer(request, script.clone()));
        // A client that goes away is no matter.
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }

    async fn answer(
        self,
        request: Request<Incoming>,
        script: Arc<Script>,
    ) -> Result<Response<ReplyBody>, Infallible> {
        let header = |name: &str| {
            request.headers().get(name).map(|value| value.to_str().unwrap().to_owned())
        };
        let mut asked = Asked {
            path: format!("{} {}", request.method(), request.uri().path()),
            call: String::new(),
            body: Value::Null,
            authorization: header("authorization"),
            media: [header("content-type"), header("accept")],
        };
        let body = request.into_body().collect().await.unwrap().to_bytes();
        // A GET has none.
        asked.body = serde_json::from_slice(&body).unwrap_or_default();
        asked.call = asked.body["type"].as_str().unwrap_or_default().to_owned();
        let before = {
            let mut all = self.asked.lock().unwrap();
            all.push(asked.clone());
            all.len() - 1
        };
        self.count.send_modify(|count| *count += 1);
        let respond = |status: u16, body| {
            let response = Response::builder().status(StatusCode::from_u16(status).unwrap());
            Ok(response.header("location", "http://127.0.0.1:1/").body(body).unwrap())
        };
        match script(&asked, before) {
            Reply::Json(json) => respond(200, ReplyBody::Whole(Some(json.to_string().into()))),
            Reply::Raw(status, text) => respond(status, ReplyBody::Whole(Some(text.into()))),
            Reply::Hang => std::future::pending().await,
            Reply::Cut => respond(200, ReplyBody::Cut(false)),
            Reply::Endless => respond(200, ReplyBody::Endless),
        }
    }
}

pub(crate) enum ReplyBody {
    Whole(Option<Bytes>),
    Cut(bool),
    Endless,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let start = Bytes::from_static(br#"{"type":"GET_STATE","get_state":{"x":["#);
        Poll::Ready(match &mut *self {
            Self::Whole(body) => body.take().map(|body| Ok(Frame::data(body))),
            Self::Cut(begun) if !*begun => {
                *begun = true;
                Some(Ok(Frame::data(start)))
            }
            Self::Cut(_) => Some(Err(std::io::ErrorKind::ConnectionReset.into())),
            Self::Endless => Some(Ok(Frame::data(Bytes::from_static(&[b' '; 4096])))),
        })
    }
}

/// What an agent says that runs one task, `t.1` in the container `c`.
pub(crate) fn good(call: &str) -> Reply {
    Reply::Json(match call {
        "GET_STATE" => json!({"type": call, "get_state": {
            "get_tasks": {"launched_tasks": [{
                "name": "t", "task_id": {"value": "t.1"}, "executor_id": {"value": "E"},
                "framework_id": {"value": "F"},
                "labels": {"labels": [{"key": "DCOS_METRICS_FOO", "value": "bar"}]},
                "statuses": [{"container_status": {"container_id":
                    {"value": "c", "parent": {"value": "p"}}}}],
            }]},
            "get_executors": {"executors": [{"executor_info": {"executor_id": {"value": "E"},
                "framework_id": {"value": "F"}, "name": "executor"}}]},
            "get_frameworks": {"frameworks": [{"framework_info": {"id": {"value": "F"},
                "name": "marathon", "role": "slave_public", "principal": "dcos_marathon"}}]},
        }}),
        "GET_CONTAINERS" => json!({"type": call, "get_containers": {"containers": [{
            "container_id": {"value": "c", "parent": {"value": "p"}},
            "framework_id": {"value": "F"}, "executor_id": {"value": "E"},
            "executor_name": "executor", "resource_statistics": {"timestamp": 1.5},
        }]}}),
        "GET_AGENT" => json!({"type": call, "get_agent": {"agent_info":
            {"id": {"value": "x-S1"}, "hostname": "10.0.5.42", "port": 5051}}}),
        other => panic!("an agent is never asked {other:?}"),
    })
}
