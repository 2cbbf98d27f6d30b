//! The HTTP around [`heddle_controller::ofctl_rest`].

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use axum::routing::any;
use heddle_controller::ofctl_rest::{self, Content, MAX_BODY, Step};
use heddle_controller::{Answer, AskError, Question, Switch};
use hyper::body::{Bytes, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::Heard;
use super::web::PATIENCE;

/// Answers of switches that wait to be written, in KiB.
const MAX_HELD_KIB: u32 = 128 << 10;
/// The header that says what the status does not tell.
const NOTE: &str = "x-heddle-note";

#[derive(Clone)]
struct Shared {
    heard: mpsc::Sender<Heard>,
    /// A permit for each KiB.
    room: Arc<Semaphore>,
}

/// Everything below `/stats`.
pub(super) fn routes(heard: mpsc::Sender<Heard>) -> Router {
    let room = Arc::new(Semaphore::new(MAX_HELD_KIB as usize));
    Router::new().route("/stats/{*rest}", any(serve)).with_state(Shared { heard, room })
}

async fn serve(State(shared): State<Shared>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if is_foreign(&parts.headers) {
        return plain(StatusCode::FORBIDDEN, Some("a page of another origin asks"));
    }
    let too_long = || plain(StatusCode::PAYLOAD_TOO_LARGE, Some("the body is longer than 1 MiB"));
    // What its length says is known before it comes.
    if hyper::body::Body::size_hint(&body).lower() > MAX_BODY as u64 {
        return too_long();
    }
    let body = match tokio::time::timeout(PATIENCE, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => return too_long(),
        Err(_) => return plain(StatusCode::REQUEST_TIMEOUT, Some("the body did not come in time")),
    };
    shared
        .respond(parts.method.as_str(), parts.uri.path(), &body)
        .await
        .unwrap_or_else(|| plain(StatusCode::SERVICE_UNAVAILABLE, Some("the controller is ending")))
}

/// Whether a browser asks for a page that came from elsewhere. Such a page could program the network of whoever reads it;
/// programs that are no browsers name no origin.
fn is_foreign(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    headers.get(header::ORIGIN).is_some_and(|origin| {
        let own = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        own.map(|(_, authority)| authority) != host
    })
}

impl Shared {
    /// Nothing where the controller is ending.
    async fn respond(&self, method: &str, path: &str, body: &[u8]) -> Option<Response<Body>> {
        let switches = self.switches().await?;
        let mut step = ofctl_rest::begin(&ofctl_rest::Request { method, path, body }, &switches);
        let response = loop {
            match step {
                Step::Done(response) => break response,
                Step::Ask { datapath_id, question, call } => {
                    step = call.answered(self.ask(datapath_id, question).await?);
                }
            }
        };
        let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut told = plain(status, response.note.as_deref());
        if let Some(content) = response.content {
            let size =
                u32::try_from(content.size().div_ceil(1024)).unwrap_or(u32::MAX).clamp(1, MAX_HELD_KIB);
            let Ok(held) = Arc::clone(&self.room).try_acquire_many_owned(size) else {
                return Some(plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    Some("too many answers wait to be read"),
                ));
            };
            told.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            *told.body_mut() = Body::new(Pieces { content, _held: held });
        }
        Some(told)
    }

    async fn switches(&self) -> Option<Vec<Switch>> {
        let (reply, told) = oneshot::channel();
        self.heard.send(Heard::Switches(reply)).await.ok()?;
        told.await.ok()
    }

    async fn ask(&self, datapath_id: u64, question: Question) -> Option<Result<Answer, AskError>> {
        let (reply, told) = oneshot::channel();
        self.heard.send(Heard::Asked { datapath_id, question, reply }).await.ok()?;
        told.await.ok()
    }
}

fn plain(status: StatusCode, note: Option<&str>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    if let Some(note) = note.and_then(|note| HeaderValue::from_str(note).ok()) {
        response.headers_mut().insert(NOTE, note);
    }
    response
}

/// A body whose pieces are written as the client takes them.
struct Pieces {
    content: Content,
    _held: OwnedSemaphorePermit,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.content.next().map(|piece| Ok(Frame::data(Bytes::from(piece)))))
    }
}
