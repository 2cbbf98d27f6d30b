//! HTTP with bounds: how many connections there are, how long a client may take to ask, and how long to listen.
//!
//! A connection is closed when its request does not come in time, and after a minute in all unless an answer is under way,
//! which has another minute. So clients that say nothing or read nothing give their places back to others.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections of a listener.
const MAX_CONNECTIONS: usize = 64;
/// Time for the head of a request, and for its body again.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Time of a connection before no more requests are taken, and after it.
const LIFE: Duration = Duration::from_secs(60);

/// Answers at these listeners, which do not block, until the process ends.
pub(super) async fn serve(listeners: Vec<(std::net::TcpListener, Router)>) {
    let mut tasks = tokio::task::JoinSet::new();
    for (listener, routes) in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => drop(tasks.spawn(accept(listener, routes))),
            Err(error) => eprintln!("a listener cannot be used: {error}"),
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn accept(listener: TcpListener, routes: Router) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // The semaphore is never closed; further clients wait at the listener.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let routes = routes.clone();
                tokio::spawn(async move {
                    answer(stream, routes).await;
                    drop(place);
                });
            }
            Err(error) => {
                eprintln!("a connection cannot be accepted: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Serves one connection. What goes wrong with it is its client's business.
async fn answer(stream: TcpStream, routes: Router) {
    let _ = stream.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    tokio::pin!(connection);
    if tokio::time::timeout(LIFE, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(LIFE, connection).await;
    }
}
