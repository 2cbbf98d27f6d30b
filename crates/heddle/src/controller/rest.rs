//! The controller's web interface: what its apps know, as JSON.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use super::Heard;

type Refusal = (StatusCode, &'static str);

/// `GET /apps` and `GET /apps/NAME`.
pub(super) fn routes(heard: mpsc::Sender<Heard>) -> Router {
    Router::new().route("/apps", get(all)).route("/apps/{name}", get(one)).with_state(heard)
}

async fn states(heard: &mpsc::Sender<Heard>) -> Result<Map<String, Value>, Refusal> {
    const ENDING: Refusal = (StatusCode::SERVICE_UNAVAILABLE, "the controller is ending");
    let (reply, answer) = oneshot::channel();
    heard.send(Heard::States(reply)).await.map_err(|_| ENDING)?;
    answer.await.map_err(|_| ENDING)
}

async fn all(State(heard): State<mpsc::Sender<Heard>>) -> Result<Json<Value>, Refusal> {
    Ok(Json(Value::Object(states(&heard).await?)))
}

async fn one(
    State(heard): State<mpsc::Sender<Heard>>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let state = states(&heard).await?.remove(&name);
    state.map(Json).ok_or((StatusCode::NOT_FOUND, "no app of this name runs; GET /apps tells all"))
}
