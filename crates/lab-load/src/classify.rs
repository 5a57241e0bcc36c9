//! What counts as what: the one function that turns an answer into an outcome.

use lab_core::{
    outcome::{Outcome, ServedBy},
    route::Route,
};

/// What is known about a request whose whole body was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The route really requested.
    pub(crate) route: Route,
    /// HTTP status.
    pub(crate) status: u16,
    /// `x-served-by`, when there was a known one.
    pub(crate) served_by: Option<ServedBy>,
    /// Whether the service said that its circuit is open and nothing else could answer.
    pub(crate) not_permitted: bool,
    /// Whether the body is the one that this route must have.
    pub(crate) body_is_right: bool,
    /// Whether it was complete within the deadline, counted from the intended time.
    pub(crate) within_deadline: bool,
}

/// The outcome of an answered request, by the table "What counts as what" of `docs/method.md`.
///
/// A refusal is a refusal however late it comes; only what would have served the user is turned
/// into `TimedOut` by the deadline. A wrong body is a failure whatever the status says, and a lost
/// session (401) is one as well.
pub(crate) fn classify(answer: &Answer) -> Outcome {
    match answer.status {
        429 => Outcome::RateLimited,
        503 if answer.served_by == Some(ServedBy::Shed) => Outcome::Shed,
        503 if answer.not_permitted => Outcome::NotPermitted,
        504 => Outcome::TimedOut,
        _ => match usable(answer) {
            None => Outcome::DependencyFailed,
            Some(_) if !answer.within_deadline => Outcome::TimedOut,
            Some(outcome) => outcome,
        },
    }
}

/// `Success` or `Degraded` if the answer is one that serves the user, the time apart.
fn usable(answer: &Answer) -> Option<Outcome> {
    let degraded = answer.served_by.is_some_and(ServedBy::is_degraded);
    let left_out = answer.served_by == Some(ServedBy::Degraded);
    match (answer.route, answer.status) {
        // Left out on purpose, and said so: there is no right body to compare with.
        (Route::Recommendations, 200 | 204) if left_out => Some(Outcome::Degraded),
        (Route::Home | Route::Product | Route::Recommendations, 200)
        | (Route::Views, 202 | 204)
            if answer.body_is_right =>
        {
            Some(if degraded { Outcome::Degraded } else { Outcome::Success })
        }
        // A stale session or a stale order does not exist.
        (Route::Sessions, 200 | 201) | (Route::Me, 200) | (Route::Orders, 201)
            if answer.body_is_right && !degraded =>
        {
            Some(Outcome::Success)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(route: Route, status: u16, served_by: &str) -> Outcome {
        let served_by = ServedBy::from_name(served_by);
        classify(&Answer { status, served_by, ..page(route) })
    }

    /// The right answer of a GET, in time.
    fn page(route: Route) -> Answer {
        Answer {
            route,
            status: 200,
            served_by: Some(ServedBy::Redis),
            not_permitted: false,
            body_is_right: true,
            within_deadline: true,
        }
    }

    // By hand from the table in design section 5.
    #[test]
    fn what_counts_as_what() {
        use Outcome::*;
        use Route::*;
        for (route, status, served_by, expected) in [
            (Product, 200, "redis", Success),
            (Product, 200, "local", Success),
            (Product, 200, "database", Success),
            (Product, 200, "coalesced", Success),
            (Product, 200, "replica", Success),
            (Product, 200, "stale", Degraded),
            (Product, 200, "static", Degraded),
            (Home, 200, "redis", Success),
            (Home, 200, "static", Degraded),
            (Recommendations, 200, "database", Success),
            (Recommendations, 200, "stale", Degraded),
            (Recommendations, 204, "database", DependencyFailed),
            (Views, 202, "redis", Success),
            (Views, 204, "database", Success),
            (Views, 202, "local", Success),
            (Views, 202, "degraded", Degraded),
            (Views, 200, "redis", DependencyFailed),
            (Sessions, 201, "redis", Success),
            (Sessions, 200, "redis", Success),
            (Sessions, 503, "redis", DependencyFailed),
            (Me, 200, "redis", Success),
            (Me, 200, "stale", DependencyFailed),
            (Me, 401, "redis", DependencyFailed),
            (Orders, 201, "database", Success),
            (Orders, 200, "database", DependencyFailed),
            (Orders, 201, "degraded", DependencyFailed),
            (Product, 429, "shed", RateLimited),
            (Product, 503, "shed", Shed),
            (Product, 503, "database", DependencyFailed),
            (Product, 503, "", DependencyFailed),
            (Product, 504, "database", TimedOut),
            (Product, 502, "database", DependencyFailed),
            (Product, 500, "", DependencyFailed),
            (Product, 404, "database", DependencyFailed),
            (Product, 301, "", DependencyFailed),
        ] {
            assert_eq!(
                outcome(route, status, served_by),
                expected,
                "{route:?} {status} {served_by}"
            );
        }
    }

    #[test]
    fn an_open_circuit_that_nothing_could_bypass_is_not_permitted() {
        let answer = Answer { status: 503, not_permitted: true, ..page(Route::Me) };
        assert_eq!(classify(&answer), Outcome::NotPermitted);
        assert_eq!(classify(&Answer { status: 200, ..answer }), Outcome::Success);
    }

    #[test]
    fn a_wrong_body_is_a_failure_whatever_the_status_says() {
        for (route, status) in
            [(Route::Product, 200), (Route::Home, 200), (Route::Sessions, 201), (Route::Me, 200)]
        {
            let answer = Answer { status, body_is_right: false, ..page(route) };
            assert_eq!(classify(&answer), Outcome::DependencyFailed, "{route:?}");
            let stale = Answer { served_by: Some(ServedBy::Stale), ..answer };
            assert_eq!(classify(&stale), Outcome::DependencyFailed, "{route:?}");
        }
    }

    #[test]
    fn recommendations_left_out_on_purpose_need_no_right_body() {
        let left_out = |route| Answer {
            served_by: Some(ServedBy::Degraded),
            body_is_right: false,
            ..page(route)
        };
        assert_eq!(classify(&left_out(Route::Recommendations)), Outcome::Degraded);
        assert_eq!(classify(&left_out(Route::Product)), Outcome::DependencyFailed);
    }

    #[test]
    fn a_late_answer_is_timed_out_but_a_late_refusal_stays_a_refusal() {
        let late = Answer { within_deadline: false, ..page(Route::Product) };
        assert_eq!(classify(&late), Outcome::TimedOut);
        let stale = Answer { served_by: Some(ServedBy::Stale), ..late };
        assert_eq!(classify(&stale), Outcome::TimedOut);
        let shed = Answer { status: 503, served_by: Some(ServedBy::Shed), ..late };
        assert_eq!(classify(&shed), Outcome::Shed);
        let wrong = Answer { body_is_right: false, ..late };
        assert_eq!(classify(&wrong), Outcome::DependencyFailed);
    }
}
