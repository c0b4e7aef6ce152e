//! An HTTP server (axum) on a loopback port of its own: keeps what it is asked, answers by a script, else 200.
//!
//! It runs in a thread with a runtime of its own, so that tests with and without tokio can use it; the thread ends with the test's process.
#![allow(dead_code)]

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Condvar, Mutex, mpsc},
    thread,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, Response},
};

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// Path and query as sent, still percent-encoded.
    pub target: String,
    /// Lowercased names.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    pub at: SystemTime,
}

impl Asked {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// One scripted answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Before the status line.
    pub delay: Duration,
}

impl Answer {
    pub fn status(status: u16) -> Answer {
        Answer { status, headers: vec![], body: vec![], delay: Duration::ZERO }
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Answer {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn body(self, body: &[u8]) -> Answer {
        Answer { body: body.to_vec(), ..self }
    }

    pub fn after(self, delay: Duration) -> Answer {
        Answer { delay, ..self }
    }
}

#[derive(Default)]
struct Inner {
    asked: Vec<Asked>,
    answers: VecDeque<Answer>,
    otherwise: Option<Answer>,
    open: usize,
    most: usize,
}

type Shared = Arc<(Mutex<Inner>, Condvar)>;

#[derive(Clone)]
pub struct HttpCatcher {
    address: SocketAddr,
    shared: Shared,
}

impl HttpCatcher {
    pub fn start() -> HttpCatcher {
        let shared = Shared::default();
        let (told, address) = mpsc::channel();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
                told.send(listener.local_addr().expect("its address")).expect("the test waits");
                axum::serve(listener, router).await.expect("served");
            });
        });
        HttpCatcher { address: address.recv().expect("the server starts"), shared }
    }

    /// `http://127.0.0.1:PORT` and this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next request gets this answer; several queue up.
    pub fn answer(&self, answer: Answer) {
        self.shared.0.lock().expect("lock").answers.push_back(answer);
    }

    /// What has no answer of its own gets this one from now on.
    pub fn otherwise(&self, answer: Answer) {
        self.shared.0.lock().expect("lock").otherwise = Some(answer);
    }

    /// The most requests that were there at one moment.
    pub fn most(&self) -> usize {
        self.shared.0.lock().expect("lock").most
    }

    /// What came so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.0.lock().expect("lock").asked.clone()
    }

    /// How many came so far.
    pub fn count(&self) -> usize {
        self.shared.0.lock().expect("lock").asked.len()
    }

    /// Blocks until so many requests have come in all; panics when they don't in time.
    pub fn wait(&self, count: usize, time: Duration) -> Vec<Asked> {
        let (lock, changed) = &*self.shared;
        let end = Instant::now() + time;
        let mut inner = lock.lock().expect("lock");
        while inner.asked.len() < count {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} requests came within {time:?}, not {count}", inner.asked.len());
            inner = changed.wait_timeout(inner, left).expect("lock").0;
        }
        inner.asked.clone()
    }
}

fn names(headers: &HeaderMap) -> BTreeMap<String, String> {
    headers.iter().map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect()
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 16 << 20).await.unwrap_or_default();
    let target = parts.uri.path_and_query().map_or_else(|| parts.uri.to_string(), ToString::to_string);
    let asked =
        Asked { method: parts.method.to_string(), target, headers: names(&parts.headers), body: body.to_vec(), at: SystemTime::now() };
    let answer = {
        let mut inner = shared.0.lock().expect("lock");
        inner.asked.push(asked);
        shared.1.notify_all();
        inner.open += 1;
        inner.most = inner.most.max(inner.open);
        let answer = inner.answers.pop_front();
        answer.or_else(|| inner.otherwise.clone()).unwrap_or_else(|| Answer::status(200))
    };
    tokio::time::sleep(answer.delay).await;
    shared.0.lock().expect("lock").open -= 1;
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).expect("a response")
}
