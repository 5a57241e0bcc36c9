//! The HTTP request of each route.

use std::net::SocketAddr;

use lab_core::{load_plan::order_key, route::Route, seed::Seed};
use reqwest::{
    Method, Request, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;

use crate::{schedule::Arrival, sessions::User};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

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
    base: Url,
    seed: Seed,
}

impl Requests {
    /// Requests to `target` in the trial of `seed`.
    pub(crate) fn new(target: SocketAddr, seed: Seed) -> Self {
        let base = Url::parse(&format!("http://{target}/")).expect("an address makes a URL");
        Self { base, seed }
    }

    /// The request of `arrival` to `route`, which is the arrival's own unless its user must log in
    /// first.
    pub(crate) fn build(
        &self,
        route: Route,
        arrival: &Arrival,
        authorization: Option<HeaderValue>,
    ) -> Request {
        let &Arrival { product, user, .. } = arrival;
        let mut request = match route {
            Route::Home => Request::new(Method::GET, self.base.clone()),
            Route::Product => self.get(&format!("/products/{product}")),
            Route::Recommendations => self.get(&format!("/products/{product}/recommendations")),
            Route::Views => self.post(&format!("/products/{product}/views")),
            Route::Sessions => with_json(self.post("/sessions"), &User { user }),
            Route::Me => self.get("/me"),
            Route::Orders => self.order(arrival),
        };
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization);
        }
        request
    }

    fn order(&self, arrival: &Arrival) -> Request {
        let &Arrival { product, user, index, .. } = arrival;
        let key = HeaderValue::try_from(order_key(self.seed, index)).expect("keys are ASCII");
        let mut request = with_json(self.post("/orders"), &Order { product, quantity: 1, user });
        request.headers_mut().insert(IDEMPOTENCY_KEY, key);
        request
    }

    fn get(&self, path: &str) -> Request {
        Request::new(Method::GET, self.url(path))
    }

    fn post(&self, path: &str) -> Request {
        Request::new(Method::POST, self.url(path))
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }
}

fn with_json(mut request: Request, body: &impl Serialize) -> Request {
    let body = serde_json::to_vec(body).expect("a plain struct is always JSON");
    *request.body_mut() = Some(body.into());
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(route: Route) -> Request {
        let arrival = Arrival { index: 3, intended_at_ns: 0, route, product: 42, user: 7 };
        Requests::new("127.0.0.1:20001".parse().unwrap(), Seed(255)).build(route, &arrival, None)
    }

    #[test]
    fn each_route_has_its_method_path_and_body() {
        for (route, line, body) in [
            (Route::Home, "GET /", None),
            (Route::Product, "GET /products/42", None),
            (Route::Recommendations, "GET /products/42/recommendations", None),
            (Route::Views, "POST /products/42/views", None),
            (Route::Sessions, "POST /sessions", Some(r#"{"user":7}"#)),
            (Route::Me, "GET /me", None),
            (Route::Orders, "POST /orders", Some(r#"{"product":42,"quantity":1,"user":7}"#)),
        ] {
            let request = build(route);
            assert_eq!(format!("{} {}", request.method(), request.url().path()), line);
            let bytes = request.body().map(|it| it.as_bytes().unwrap());
            assert_eq!(bytes, body.map(str::as_bytes), "{line}");
        }
    }

    #[test]
    fn an_order_carries_the_key_that_the_audit_looks_for() {
        assert_eq!(build(Route::Orders).headers()[IDEMPOTENCY_KEY], "00000000000000ff-3");
    }
}
