//! The routes of the target service, as the load sees them.

use serde::{Deserialize, Serialize};

/// One kind of request that virtual users make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// `GET /`.
    Home,
    /// `GET /products/{id}`: the page the service exists for.
    Product,
    /// `GET /products/{id}/recommendations`.
    Recommendations,
    /// `POST /products/{id}/views`.
    Views,
    /// `POST /sessions`: log in.
    Sessions,
    /// `GET /me`: use the session.
    Me,
    /// `POST /orders`.
    Orders,
}

impl Route {
    /// Every route, in the order of their codes.
    pub const ALL: [Self; 7] = [
        Self::Home,
        Self::Product,
        Self::Recommendations,
        Self::Views,
        Self::Sessions,
        Self::Me,
        Self::Orders,
    ];

    /// The name used in artifacts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Product => "product",
            Self::Recommendations => "recommendations",
            Self::Views => "views",
            Self::Sessions => "sessions",
            Self::Me => "me",
            Self::Orders => "orders",
        }
    }

    /// Whether the business stops without it.
    pub fn class(self) -> RouteClass {
        match self {
            Self::Home | Self::Product | Self::Sessions | Self::Me | Self::Orders => {
                RouteClass::Core
            }
            Self::Recommendations | Self::Views => RouteClass::Auxiliary,
        }
    }

    /// Whether normal days serve it from the shared cache, else from a query.
    pub fn is_cached(self) -> bool {
        matches!(self, Self::Home | Self::Product | Self::Recommendations)
    }

    /// The byte that stands for this route in a sample file.
    pub fn code(self) -> u8 {
        u8::try_from(Self::ALL.iter().position(|it| *it == self).expect("ALL is complete"))
            .expect("there are fewer than 256 routes")
    }

    /// The route of a byte in a sample file, or `None` for an unknown byte.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What a route is to the business. Under overload the auxiliary work goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RouteClass {
    /// The business stops without it.
    Core,
    /// The business goes on without it.
    Auxiliary,
}

impl RouteClass {
    /// Both classes, core first.
    pub const ALL: [Self; 2] = [Self::Core, Self::Auxiliary];

    /// The name used in artifacts and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Auxiliary => "auxiliary",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_recommendations_and_view_counts_can_be_done_without() {
        let auxiliary: Vec<_> =
            Route::ALL.into_iter().filter(|it| it.class() == RouteClass::Auxiliary).collect();
        assert_eq!(auxiliary, [Route::Recommendations, Route::Views]);
        for class in RouteClass::ALL {
            let json = serde_json::to_string(&class).unwrap();
            assert_eq!(json, format!("\"{}\"", class.name()));
        }
    }

    #[test]
    fn every_route_survives_its_code() {
        for route in Route::ALL {
            assert_eq!(Route::from_code(route.code()), Some(route));
        }
        assert_eq!(Route::from_code(7), None);
    }
}
