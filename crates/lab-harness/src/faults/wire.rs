//! What the faults on the wire share.

use std::net::SocketAddr;

use lab_core::clock::MonotonicNs;

use super::FaultError;
use crate::{
    stack::Stack,
    wire::{Condition, Proxy},
};

/// The proxy. **Errors**: the stack was started without one.
pub(super) fn of(stack: &Stack) -> Result<&Proxy, FaultError> {
    stack.wire().ok_or(FaultError::NoWire)
}

/// Changes the wire, and returns when that was done. **Errors**: there is no proxy.
pub(super) fn set(stack: &Stack, condition: Condition) -> Result<MonotonicNs, FaultError> {
    of(stack)?.switch().set(condition);
    Ok(MonotonicNs::now())
}

/// Where the service connects: through the proxy.
pub(super) fn address(stack: &Stack) -> SocketAddr {
    stack.wire().map_or_else(|| stack.redis_addr(), Proxy::address)
}
