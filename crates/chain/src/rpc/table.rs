//! The table of methods.

use std::{
    collections::HashMap,
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
};

use serde::Serialize;

use super::{Arguments, Rpc, error::RpcError};

/// A method's code.
pub(super) type Call = Arc<dyn Fn(&Rpc, Arguments<'_>) -> Result<String, RpcError> + Send + Sync>;

/// JSON that comes later.
pub(super) type Answer = Pin<Box<dyn Future<Output = Result<String, RpcError>> + Send>>;

type Wait = fn(&Arc<Rpc>, Arguments<'_>) -> Result<Answer, RpcError>;

/// Methods by name.
#[derive(Default)]
pub(crate) struct Table(HashMap<&'static str, Method>);

/// How a method runs.
#[derive(Clone)]
enum Method {
    /// Answers at once, where the request arrives.
    Quick(Call),
    /// May take long: see [`Class::Reading`].
    Heavy(Call),
    /// Executes messages: see [`Class::Executing`].
    Executing(Call),
    /// Waits for something to happen, holding nothing.
    Waiting(Wait),
}

/// Calls that may take long run on threads of their own, a bounded number of each class at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Log queries, whole blocks.
    Reading,
    /// What executes messages: a number of its own, so that executions that wait for their turn keep
    /// nobody from reading.
    Executing,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Table {
    fn add(&mut self, name: &'static str, method: Method) {
        let before = self.0.insert(name, method);
        assert!(before.is_none(), "{name} is in the table once");
    }

    /// Names of the methods, sorted.
    pub(super) fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.0.keys().copied().collect();
        names.sort_unstable();
        names
    }

    /// The class of a call that may take long, and its method; `None` for others.
    pub(super) fn class(&self, name: &str, params: Option<&str>) -> Option<(Class, Call)> {
        let (class, call) = match self.0.get(name)? {
            Method::Waiting(_) => return None,
            Method::Executing(call) => (Class::Executing, call),
            Method::Quick(call) | Method::Heavy(call) if names_pending(params) => {
                (Class::Executing, call)
            }
            Method::Heavy(call) => (Class::Reading, call),
            Method::Quick(_) => return None,
        };
        Some((class, Arc::clone(call)))
    }

    /// Calls a method that does not take long, or waits without doing anything. The result is JSON of
    /// at most `response_bytes_max` bytes.
    pub(super) async fn call(
        &self,
        rpc: &Arc<Rpc>,
        name: &str,
        params: Option<&str>,
    ) -> Result<String, RpcError> {
        match self.0.get(name) {
            None => Err(RpcError::method_not_found(name)),
            Some(Method::Waiting(call)) => {
                let answer = call(rpc, Arguments::new(name, params)?)?;
                answer.await
            }
            Some(Method::Quick(call) | Method::Heavy(call) | Method::Executing(call)) => {
                guarded(|| call(rpc, Arguments::new(name, params)?))
            }
        }
    }
}

/// What a method answers; it may panic.
pub(super) fn guarded(call: impl FnOnce() -> Result<String, RpcError>) -> Result<String, RpcError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(RpcError::crashed()))
}

/// Whether a request may be about the pending block, which has to be executed first.
fn names_pending(params: Option<&str>) -> bool {
    // Behind an escape could stand any letter.
    params.is_some_and(|params| params.contains("pending") || params.contains('\\'))
}

/// Adds a method that executes messages.
pub(super) fn executing<T: Serialize + 'static>(
    table: &mut Table,
    name: &'static str,
    method: fn(&Rpc, Arguments<'_>) -> Result<T, RpcError>,
) {
    table.add(name, Method::Executing(with_json(method)));
}

/// Adds a method that answers at once.
pub(super) fn quick<T: Serialize + 'static>(
    table: &mut Table,
    name: &'static str,
    method: fn(&Rpc, Arguments<'_>) -> Result<T, RpcError>,
) {
    table.add(name, Method::Quick(with_json(method)));
}

/// Adds a method that may take long.
pub(super) fn heavy<T: Serialize + 'static>(
    table: &mut Table,
    name: &'static str,
    method: fn(&Rpc, Arguments<'_>) -> Result<T, RpcError>,
) {
    table.add(name, Method::Heavy(with_json(method)));
}

/// Adds a method that waits for something to happen.
pub(super) fn waiting(table: &mut Table, name: &'static str, method: Wait) {
    table.add(name, Method::Waiting(method));
}

fn with_json<T: Serialize + 'static>(
    method: fn(&Rpc, Arguments<'_>) -> Result<T, RpcError>,
) -> Call {
    Arc::new(move |rpc, arguments| {
        let max = usize::try_from(rpc.node.limits.response_bytes_max).unwrap_or(usize::MAX);
        method(rpc, arguments).and_then(|result| to_json(&result, max))
    })
}

/// JSON of at most `max` bytes; never holds more than that.
pub(super) fn to_json(value: &impl Serialize, max: usize) -> Result<String, RpcError> {
    let mut out = Bounded { bytes: Vec::with_capacity(128), max };
    match serde_json::to_writer(&mut out, value) {
        Ok(()) => {
            String::from_utf8(out.bytes).map_err(|error| RpcError::internal(error.to_string()))
        }
        Err(error) if error.is_io() => Err(RpcError::response_too_large()),
        Err(error) => Err(RpcError::internal(error.to_string())),
    }
}

struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if buffer.len() > self.max - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_bounded_while_they_are_written() {
        assert_eq!(to_json(&[1, 2, 3], 7).unwrap(), "[1,2,3]");
        assert_eq!(to_json(&[1, 2, 3], 6).unwrap_err(), RpcError::response_too_large());
    }
}
