//! The HTTP request of each route.

use std::{net::SocketAddr, time::Duration};

use hyper::{
    Method, Request, Uri,
    body::Bytes,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderName, HeaderValue},
};
use lab_core::{load_plan::order_key, route::Route, seed::Seed, target::BUDGET_HEADER};
use serde::Serialize;

use crate::{connections::RequestBody, schedule::Arrival, sessions::User};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const BUDGET: HeaderName = HeaderName::from_static(BUDGET_HEADER);

/// What `POST /orders` wants.
#[derive(Debug, Serialize)]
struct Order {
    product: u32,
    quantity: u32,
    user: u32,
}

/// Builds the requests for one target and trial.
#[derive(Debug)]
pub(crate) struct Requests {
    host: HeaderValue,
    seed: Seed,
}

impl Requests {
    /// Requests to `target` in the trial of `seed`.
    pub(crate) fn new(target: SocketAddr, seed: Seed) -> Self {
        let host = HeaderValue::try_from(target.to_string()).expect("an address is ASCII");
        Self { host, seed }
    }

    /// The request of `arrival` to `route`, which is the arrival's own unless its user must log in
    /// first. `patience` is how long the client will wait for the answer.
    pub(crate) fn build(
        &self,
        route: Route,
        arrival: &Arrival,
        patience: Duration,
        authorization: Option<HeaderValue>,
    ) -> Request<RequestBody> {
        let &Arrival { product, user, index, .. } = arrival;
        let (method, path) = target_of(route, product);
        let mut request = Request::new(body_of(route, product, user));
        *request.method_mut() = method;
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        headers.insert(BUDGET, HeaderValue::from(whole_ms(patience)));
        if matches!(route, Route::Sessions | Route::Orders) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if route == Route::Orders {
            let key = HeaderValue::try_from(order_key(self.seed, index)).expect("keys are ASCII");
            headers.insert(IDEMPOTENCY_KEY, key);
        }
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        request
    }
}

/// Method and path of `route`, for `product` where the route is about one.
fn target_of(route: Route, product: u32) -> (Method, Uri) {
    match route {
        Route::Home => (Method::GET, Uri::from_static("/")),
        Route::Product => (Method::GET, path(format!("/products/{product}"))),
        Route::Recommendations => {
            (Method::GET, path(format!("/products/{product}/recommendations")))
        }
        Route::Views => (Method::POST, path(format!("/products/{product}/views"))),
        Route::Sessions => (Method::POST, Uri::from_static("/sessions")),
        Route::Me => (Method::GET, Uri::from_static("/me")),
        Route::Orders => (Method::POST, Uri::from_static("/orders")),
    }
}

fn path(path: String) -> Uri {
    Uri::try_from(path).expect("words and numbers between slashes make a path")
}

fn body_of(route: Route, product: u32, user: u32) -> RequestBody {
    match route {
        Route::Sessions => json(&User { user }),
        Route::Orders => json(&Order { product, quantity: 1, user }),
        Route::Home | Route::Product | Route::Recommendations | Route::Views | Route::Me => {
            RequestBody::default()
        }
    }
}

fn json(body: &impl Serialize) -> RequestBody {
    let body = serde_json::to_vec(body).expect("a plain struct is always JSON");
    RequestBody::new(Bytes::from(body))
}

/// Whole milliseconds in `patience`, at least 1: a client that sends a request waits for something.
fn whole_ms(patience: Duration) -> u64 {
    u64::try_from(patience.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use hyper::body::Body;

    use super::*;

    fn build(route: Route, patience: Duration) -> Request<RequestBody> {
        let arrival = Arrival { index: 3, intended_at_ns: 0, route, product: 42, user: 7 };
        let requests = Requests::new("127.0.0.1:20001".parse().unwrap(), Seed(255));
        requests.build(route, &arrival, patience, None)
    }

    #[test]
    fn each_route_has_its_method_path_and_body() {
        for (route, line, body) in [
            (Route::Home, "GET /", ""),
            (Route::Product, "GET /products/42", ""),
            (Route::Recommendations, "GET /products/42/recommendations", ""),
            (Route::Views, "POST /products/42/views", ""),
            (Route::Sessions, "POST /sessions", r#"{"user":7}"#),
            (Route::Me, "GET /me", ""),
            (Route::Orders, "POST /orders", r#"{"product":42,"quantity":1,"user":7}"#),
        ] {
            let request = build(route, Duration::from_secs(1));
            assert_eq!(format!("{} {}", request.method(), request.uri()), line);
            assert_eq!(request.headers()[HOST], "127.0.0.1:20001");
            assert_eq!(request.headers().contains_key(CONTENT_TYPE), !body.is_empty(), "{line}");
            assert_eq!(request.body().size_hint().exact(), Some(body.len() as u64), "{line}");
            assert_eq!(format!("{:?}", request.body()), format!("{:?}", whole(body)), "{line}");
        }
    }

    fn whole(body: &'static str) -> RequestBody {
        RequestBody::new(Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn an_order_carries_the_key_that_the_audit_looks_for() {
        let order = build(Route::Orders, Duration::from_secs(1));
        assert_eq!(order.headers()[IDEMPOTENCY_KEY], "00000000000000ff-3");
    }

    #[test]
    fn the_budget_is_the_patience_in_whole_milliseconds_and_never_nothing() {
        for (patience_ns, budget) in
            [(1, "1"), (999_999, "1"), (1_999_999, "1"), (2_000_000, "2"), (999_999_999, "999")]
        {
            for route in Route::ALL {
                let request = build(route, Duration::from_nanos(patience_ns));
                assert_eq!(request.headers()[BUDGET_HEADER], budget, "{patience_ns} {route:?}");
            }
        }
    }
}
