//! The `post` task: an HTTP POST with a form, JSON or the event's row, by the rules of Standard Webhooks.
//!
//! 2xx is success and 410 ends it; everything else, a redirect too, is tried again, not before Retry-After where the receiver asks for
//! that. One total deadline, a capped answer, no proxy from the environment.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use jiff::Timestamp;
use reqwest::{
    Client, Request, Response, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect,
};

use super::{
    Context, PostBody, PostHeader, PostTask, batch, clean, event_row,
    render::{self, Kind},
    webhook::Secrets,
};
use crate::{
    ledger::Facts,
    outbox::{Blame, Job, Outcome},
};

/// From the connect to the end of the answer.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How much of an unwelcome answer is read.
const MAX_ANSWER: usize = 4096;

/// The longest wait that a receiver can ask for, seconds.
const MAX_RETRY_AFTER: u64 = 86_400;

/// Headers that are ours or the protocol's.
const RESERVED: [&str; 8] =
    ["webhook-id", "webhook-timestamp", "webhook-signature", "content-length", "transfer-encoding", "connection", "host", "expect"];

/// UTC now, for the time of an attempt.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

pub struct Poster {
    client: Client,
    now: Now,
}

/// What stops a post before it leaves.
enum Fault {
    /// The configuration can be mended.
    Later(String),
    /// The frozen facts can't become a request.
    Dead(String),
}

impl Poster {
    /// Fails only where TLS can't be set up at all.
    pub fn new(deadline: Duration, now: Now) -> Result<Poster, String> {
        // Already installed is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("bounced/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .timeout(deadline)
            .connect_timeout(deadline.min(Duration::from_secs(10)))
            .pool_idle_timeout(Duration::from_secs(30))
            .referer(false)
            .no_proxy()
            .build()
            .map_err(|error| format!("can't set up HTTP: {error}"))?;
        Ok(Poster { client, now })
    }

    pub async fn post(&self, job: &Job, task: &PostTask) -> Outcome {
        let request = match self.request(job, task) {
            Ok(request) => request,
            Err(Fault::Later(error)) => return Outcome::Later { error, after: None, blame: Blame::Us },
            Err(Fault::Dead(error)) => return Outcome::Dead { error },
        };
        let secrets = secret_words(request.headers());
        match self.client.execute(request).await {
            Ok(response) if response.status().is_success() => Outcome::Done,
            Ok(response) => self.refused(response, &secrets).await,
            Err(error) => Outcome::Later { error: reason(error), after: None, blame: Blame::Target },
        }
    }

    fn request(&self, job: &Job, task: &PostTask) -> Result<Request, Fault> {
        let id = job.id.to_string();
        let context = Context::new(&job.facts, &id);
        let dead = |error: render::Error| Fault::Dead(error.0);
        let url = render::render(Kind::Url, &task.url, &context).map_err(dead)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &task.headers {
            let name = header_name(name).map_err(Fault::Dead)?;
            let value = match value {
                PostHeader::Text(source) => {
                    let value = render::render(Kind::HttpHeader, source, &context).map_err(dead)?;
                    HeaderValue::from_bytes(value.as_bytes()).map_err(|error| Fault::Dead(error.to_string()))?
                }
                PostHeader::Secret { prefix, file } => secret_header(prefix, file).map_err(Fault::Later)?,
            };
            headers.insert(name, value);
        }
        let (kind, body) = match task.batch.is_some() || !job.others.is_empty() {
            true => ("application/json", batch::body(&task.body, job).map_err(dead)?),
            false => body(&task.body, &job.facts, &context).map_err(dead)?,
        };
        headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static(kind));
        let timestamp = (self.now)().as_second();
        headers.insert("webhook-id", text_header(&id)?);
        headers.insert("webhook-timestamp", HeaderValue::from(timestamp));
        if let Some(file) = &task.secret_file {
            let signature = secrets(file).map_err(Fault::Later)?.sign(&id, timestamp, body.as_bytes());
            headers.insert("webhook-signature", text_header(&signature)?);
        }
        self.client.post(url).headers(headers).body(body).build().map_err(|error| Fault::Dead(reason(error)))
    }

    async fn refused(&self, mut response: Response, secrets: &[String]) -> Outcome {
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, (self.now)()));
        let mut answer = Vec::new();
        // What can't be read of the answer only makes the error shorter.
        while let Ok(Some(chunk)) = response.chunk().await {
            answer.extend(chunk.iter().take(MAX_ANSWER - answer.len()));
            if answer.len() >= MAX_ANSWER {
                break;
            }
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let answer = clean::cut(&secrets.iter().fold(answer, |answer, secret| answer.replace(secret, "…")), 200);
        let error = if answer.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {answer}") };
        match status {
            StatusCode::GONE => Outcome::Dead { error },
            _ if status.is_redirection() => {
                Outcome::Later { error: format!("{error} (redirects are not followed)"), after, blame: Blame::Job }
            }
            _ => Outcome::Later { error, after, blame: blame(status) },
        }
    }
}

/// What a refusal tells: the server is in trouble or has too much to do, or it doesn't want this request.
fn blame(status: StatusCode) -> Blame {
    let target = status.is_server_error() || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(&status);
    if target { Blame::Target } else { Blame::Job }
}

/// The content type and the encoded body.
fn body(body: &PostBody, facts: &Facts, context: &Context) -> Result<(&'static str, String), render::Error> {
    match body {
        PostBody::Json(source) => Ok(("application/json", render::render_json(source, context)?)),
        PostBody::Event => Ok(("application/json", event_row(&facts.event).to_string())),
        PostBody::Form(fields) => {
            let mut pairs = Vec::new();
            let mut room = render::MAX_OUTPUT;
            for (name, value) in fields {
                let value = render::render(Kind::Value, value, context)?;
                room = room.checked_sub(value.len()).ok_or_else(|| render::Error("the form is too long".to_owned()))?;
                pairs.push(format!("{}={}", super::url::encode_form(name), super::url::encode_form(&value)));
            }
            Ok(("application/x-www-form-urlencoded", pairs.join("&")))
        }
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("'{}' is no header's name", clean::cut(name, 60)))?;
    if RESERVED.contains(&parsed.as_str()) { Err(format!("the header '{parsed}' is set by bounced itself")) } else { Ok(parsed) }
}

/// Named in no log and no error.
fn secret_header(prefix: &str, file: &Path) -> Result<HeaderValue, String> {
    let shown = file.display();
    let bytes = std::fs::read(file).map_err(|error| format!("can't read the secret {shown}: {error}"))?;
    let line = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).find(|line| !line.is_empty());
    let line = line.ok_or_else(|| format!("the secret {shown} is empty"))?;
    let mut value = HeaderValue::from_bytes(&[prefix.as_bytes(), line].concat())
        .map_err(|_| format!("the secret {shown} can't stand in a header: it is one line without control characters"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a target may not have said in an error of ours: some answer with the very request. Short words are no secrets, but `Bearer` and the like.
fn secret_words(headers: &HeaderMap) -> Vec<String> {
    const LEAST: usize = 8;
    let secret = headers.values().filter(|value| value.is_sensitive()).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let words = secret.flat_map(|value| value.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    words.filter(|word| word.len() >= LEAST).collect()
}

fn text_header(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(text).map_err(|error| Fault::Dead(error.to_string()))
}

fn secrets(file: &Path) -> Result<Secrets, String> {
    let told = |error: &dyn std::fmt::Display| format!("the post's secret in {} can't be used: {error}", file.display());
    Secrets::parse(&fs::read_to_string(file).map_err(|error| told(&error))?).map_err(|error| told(&error))
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn retry_after(value: &str, now: Timestamp) -> Option<u64> {
    let value = value.trim();
    let seconds = value.parse::<u64>().ok().or_else(|| {
        let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
        u64::try_from(at.as_second().saturating_sub(now.as_second())).ok().or(Some(0))
    })?;
    Some(seconds.min(MAX_RETRY_AFTER))
}

/// The chain of causes in one line, without the URL (it may hold what a template put there).
fn reason(error: reqwest::Error) -> String {
    let timed_out = error.is_timeout();
    let error = error.without_url();
    let mut text = if timed_out { "no answer in time".to_owned() } else { error.to_string() };
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    clean::cut(&text, 300)
}

/// The system's clock.
pub fn system_now() -> Now {
    Arc::new(|| Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_to_blame() {
        for status in [500, 502, 503, 504, 507, 599, 408, 429] {
            assert_eq!(blame(StatusCode::from_u16(status).unwrap()), Blame::Target, "{status}");
        }
        for status in [400, 401, 403, 404, 409, 413, 422] {
            assert_eq!(blame(StatusCode::from_u16(status).unwrap()), Blame::Job, "{status}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        for (value, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("99999999999", Some(MAX_RETRY_AFTER)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), seconds, "{value}");
        }
    }
}
