//! The connections to the target that all users share, and one request's way over one of them.
//!
//! hyper's HTTP/1 connections and a stack of idle ones, with no client library around them: those
//! parse a URL and pass a dozen layers for every request, which cost more CPU than sending it. What
//! they would add is not wanted here: one request is one try, with no redirects, no retries, no
//! proxy from the environment, no decompression and no timeout of its own.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard},
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::oneshot};

/// The body of a request: there at once, or empty.
pub(crate) type RequestBody = Full<Bytes>;

type Connection = SendRequest<RequestBody>;

/// Why an exchange has no answer. To the user they are all the same: the service did not answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// No connection could be opened.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// The connection broke before the whole answer was read, or the answer is no HTTP.
    #[error("no whole answer: {0}")]
    Broken(#[from] hyper::Error),
}

/// Connections to one target, at most as many as requests were ever open at the same time.
#[derive(Debug)]
pub(crate) struct Connections {
    target: SocketAddr,
    pool: Mutex<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    /// Used last, taken first: it is the warmest. Idle ones are kept for ever; one that the target
    /// closed is noticed when it is its turn.
    idle: Vec<Connection>,
    /// Requests that are opening a connection and would rather have one that becomes free, first
    /// come, first served. Among them are some that have found one or have been given up.
    waiting: VecDeque<oneshot::Sender<Connection>>,
}

impl Pool {
    /// The connection that was used last, or else the place in the queue for the next.
    fn take(&mut self) -> Result<Connection, oneshot::Receiver<Connection>> {
        if let Some(connection) = self.idle.pop() {
            return Ok(connection);
        }
        // Those that no longer wait are cleared away, or a target that is not there would have the
        // queue grow for ever.
        while self.waiting.pop_front_if(|it| it.is_closed()).is_some() {}
        let (sender, receiver) = oneshot::channel();
        self.waiting.push_back(sender);
        Err(receiver)
    }

    /// Hands `connection` to whoever has waited longest, or keeps it.
    fn give_back(&mut self, mut connection: Connection) {
        while let Some(waiting) = self.waiting.pop_front() {
            match waiting.send(connection) {
                Ok(()) => return,
                Err(returned) => connection = returned,
            }
        }
        self.idle.push(connection);
    }
}

impl Connections {
    /// No connection yet; each request that finds none idle opens one.
    pub(crate) fn to(target: SocketAddr) -> Self {
        Self { target, pool: Mutex::default() }
    }

    /// Sends `request`, which has a `host` header, and reads the whole answer.
    ///
    /// **Errors**: the target refuses connections, closes this one early or speaks no HTTP.
    /// **Cancellation**: dropping the exchange closes its connection.
    pub(crate) async fn exchange(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Bytes>, ExchangeError> {
        let mut connection = self.connection().await?;
        let (head, body) = connection.send_request(request).await?.into_parts();
        let body = read(body).await?;
        self.lock().give_back(connection);
        Ok(Response::from_parts(head, body))
    }

    /// An idle connection, or whichever comes first: a new one, or one that another request gives
    /// back.
    ///
    /// A new one alone will not do. When the target stands still for a moment, its queue of new
    /// connections (128 by default) is soon full, the kernel drops what comes after, and TCP tries
    /// again only a second later: requests would be given up on a service that has long recovered.
    async fn connection(&self) -> Result<Connection, ExchangeError> {
        loop {
            let taken = self.lock().take();
            let mut used = match taken {
                Ok(idle) => idle,
                Err(freed) => tokio::select! {
                    biased;
                    Ok(freed) = freed => freed,
                    opened = self.open() => return opened,
                },
            };
            // One that has just read its last answer may want a moment to become ready. One that
            // the target closed fails, and the next is tried.
            if used.ready().await.is_ok() {
                return Ok(used);
            }
        }
    }

    async fn open(&self) -> Result<Connection, ExchangeError> {
        let stream = TcpStream::connect(self.target).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // It ends when its sender is dropped or the target closes it. Why it broke is told to the
        // request that was on it; without one, nobody has to know.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().expect("no holder of this lock panics")
    }
}

/// Reads a body to its end. One that came in one piece, as most do, is not copied.
async fn read(body: Incoming) -> hyper::Result<Bytes> {
    Ok(body.collect().await?.to_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpSocket},
        time::timeout,
    };

    use super::*;

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    /// A target whose connections the test answers by hand.
    async fn target() -> (TcpListener, Connections) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connections = Connections::to(listener.local_addr().unwrap());
        (listener, connections)
    }

    fn request() -> Request<RequestBody> {
        Request::get("/").header("host", "target").body(RequestBody::default()).unwrap()
    }

    /// What cannot happen on this machine within ten seconds does not happen.
    async fn soon<T>(happens: impl Future<Output = T>) -> T {
        timeout(Duration::from_secs(10), happens).await.expect("did not happen within ten seconds")
    }

    async fn until(holds: impl Fn() -> bool) {
        soon(async {
            while !holds() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Reads one request.
    async fn heard(stream: &mut TcpStream) {
        let mut text = Vec::new();
        while !text.ends_with(b"\r\n\r\n") {
            text.push(soon(stream.read_u8()).await.unwrap());
        }
    }

    async fn answer(stream: &mut TcpStream, pieces: &[&str]) {
        heard(stream).await;
        for piece in pieces {
            stream.write_all(piece.as_bytes()).await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    async fn accept(listener: &TcpListener) -> TcpStream {
        soon(listener.accept()).await.unwrap().0
    }

    /// Exchanges one request for [`OK`] over a connection that the target has yet to accept.
    async fn first_exchange(listener: &TcpListener, connections: &Connections) -> TcpStream {
        let (response, stream) = tokio::join!(connections.exchange(request()), async {
            let mut stream = accept(listener).await;
            answer(&mut stream, &[OK]).await;
            stream
        });
        assert_eq!(response.unwrap().into_body(), "ok");
        stream
    }

    #[tokio::test]
    async fn an_idle_connection_is_used_again() {
        let (listener, connections) = target().await;
        let mut stream = first_exchange(&listener, &connections).await;
        for _ in 0..3 {
            let (response, ()) =
                tokio::join!(connections.exchange(request()), answer(&mut stream, &[OK]));
            assert_eq!(response.unwrap().into_body(), "ok");
        }
        assert_eq!(connections.lock().idle.len(), 1);
    }

    #[tokio::test]
    async fn requests_at_the_same_time_have_a_connection_each_and_the_one_used_last_is_next() {
        let (listener, connections) = target().await;
        let (early, late, (mut first, _second)) =
            tokio::join!(connections.exchange(request()), connections.exchange(request()), async {
                let (mut first, mut second) = (accept(&listener).await, accept(&listener).await);
                answer(&mut second, &[OK]).await;
                until(|| !connections.lock().idle.is_empty()).await;
                answer(&mut first, &[OK]).await;
                (first, second)
            });
        assert!(early.is_ok() && late.is_ok());
        // Only the connection that was answered last hears the next request.
        let (response, ()) =
            tokio::join!(connections.exchange(request()), answer(&mut first, &[OK]));
        assert!(response.is_ok());
    }

    #[tokio::test]
    async fn a_connection_that_the_target_closed_is_passed_over() {
        let (listener, connections) = target().await;
        drop(first_exchange(&listener, &connections).await);
        until(|| connections.lock().idle[0].is_closed()).await;
        first_exchange(&listener, &connections).await;
        assert_eq!(connections.lock().idle.len(), 1);
    }

    #[tokio::test]
    async fn a_dropped_exchange_closes_its_connection() {
        let (listener, connections) = target().await;
        let mut stream = tokio::select! {
            _ = connections.exchange(request()) => unreachable!("nobody answers"),
            stream = async {
                let mut stream = accept(&listener).await;
                heard(&mut stream).await;
                stream
            } => stream,
        };
        let rest = soon(stream.read(&mut [0])).await;
        assert_eq!(rest.unwrap(), 0);
        assert!(connections.lock().idle.is_empty());
    }

    // The head alone has already been read when the exchange is dropped.
    #[tokio::test]
    async fn an_exchange_dropped_within_the_body_closes_its_connection() {
        let (listener, connections) = target().await;
        let mut stream = tokio::select! {
            _ = connections.exchange(request()) => unreachable!("the body does not end"),
            stream = async {
                let mut stream = accept(&listener).await;
                answer(&mut stream, &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "o"]).await;
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                stream
            } => stream,
        };
        let rest = soon(stream.read(&mut [0])).await;
        assert!(rest.is_err() || rest.is_ok_and(|n| n == 0));
        assert!(connections.lock().idle.is_empty());
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_read_whole() {
        let (listener, connections) = target().await;
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let pieces = [head, "4\r\nout", "a\r\n", "2\r\nge\r\n0\r\n\r\n"];
        let (response, _stream) = tokio::join!(connections.exchange(request()), async {
            let mut stream = accept(&listener).await;
            answer(&mut stream, &pieces).await;
            stream
        });
        assert_eq!(response.unwrap().into_body(), "outage");
        assert_eq!(connections.lock().idle.len(), 1);
    }

    #[tokio::test]
    async fn an_answer_cut_short_is_an_error_and_its_connection_is_gone() {
        let (listener, connections) = target().await;
        for pieces in [&[][..], &["HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n", "o"], &["?\r\n"]]
        {
            let (response, ()) = tokio::join!(connections.exchange(request()), async {
                answer(&mut accept(&listener).await, pieces).await;
            });
            assert!(matches!(response, Err(ExchangeError::Broken(_))), "{response:?}");
            assert!(connections.lock().idle.is_empty());
        }
    }

    /// How many requests would take a connection that becomes free now.
    fn n_waiting(connections: &Connections) -> usize {
        connections.lock().waiting.iter().filter(|it| !it.is_closed()).count()
    }

    // The kernel lets one more connection wait for its acceptance than `listen` says: the third is
    // not answered, and TCP would ask again after a second.
    #[tokio::test]
    async fn a_request_whose_connection_does_not_open_takes_one_that_becomes_free() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let connections = Connections::to(listener.local_addr().unwrap());
        let (first, second, third, _streams) = tokio::join!(
            connections.exchange(request()),
            connections.exchange(request()),
            connections.exchange(request()),
            async {
                until(|| n_waiting(&connections) == 1).await;
                let mut first = accept(&listener).await;
                answer(&mut first, &[OK]).await;
                // The third request comes on the connection of the first.
                answer(&mut first, &[OK]).await;
                let mut second = accept(&listener).await;
                answer(&mut second, &[OK]).await;
                (first, second)
            }
        );
        assert!(first.is_ok() && second.is_ok() && third.is_ok());
        assert_eq!(connections.lock().idle.len(), 2);
    }

    #[tokio::test]
    async fn a_request_that_was_given_up_is_passed_over_by_a_connection_that_becomes_free() {
        let (listener, connections) = target().await;
        let freed = connections.lock().take().unwrap_err();
        drop(freed);
        first_exchange(&listener, &connections).await;
        assert_eq!(connections.lock().idle.len(), 1);
    }

    #[tokio::test]
    async fn requests_to_a_target_that_is_not_there_do_not_pile_up() {
        let (listener, connections) = target().await;
        drop(listener);
        for _ in 0..10 {
            connections.exchange(request()).await.unwrap_err();
        }
        assert!(connections.lock().waiting.len() <= 1);
    }

    #[tokio::test]
    async fn a_target_that_is_not_there_is_an_error() {
        let (listener, connections) = target().await;
        drop(listener);
        let response = connections.exchange(request()).await;
        assert!(matches!(response, Err(ExchangeError::Connect(_))), "{response:?}");
    }
}
