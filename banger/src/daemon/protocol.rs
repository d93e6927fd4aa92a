//! What a line may be, and what an answer looks like: <https://www.jsonrpc.org/specification>.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::error::{Error, ErrorKind};

/// Bytes of a line from a client, without its end.
pub(super) const LINE_LIMIT: usize = 1 << 20;

/// Bytes of an id as JSON.
const ID_LIMIT: usize = 256;

/// Characters of a client's name for something that an answer repeats.
pub(super) const NAME_SHOWN: usize = 100;

/// Characters of a message that an answer repeats.
const MESSAGE_SHOWN: usize = 16 << 10;

/// The version of JSON-RPC.
const VERSION: &str = "2.0";

/// The parameter by which any call asks for progress.
pub(super) const PROGRESS: &str = "progress";

/// The method of progress notifications.
pub(super) const PROGRESS_METHOD: &str = "progress";

/// The member of every result that names the operation.
pub(super) const OP_ID: &str = "op_id";

/// A call as it came in.
#[derive(Debug)]
pub(super) struct Call {
    /// What the answer is to carry; none for a notification, which gets no answer.
    pub(super) id: Option<Value>,
    pub(super) method: String,
    pub(super) params: Map<String, Value>,
    pub(super) progress: bool,
}

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The line is not JSON.
    Parse(String),
    /// It is no request.
    InvalidRequest(String),
    /// There is no such method.
    UnknownMethod(String),
    /// The parameters are not those of the method.
    InvalidParams(String),
    /// A defect of ours.
    Internal(String),
    /// A limit of the daemon is reached.
    Busy(String),
    /// The operation failed.
    Failed(Error),
}

impl Refusal {
    /// The code of JSON-RPC; that of a failed operation is the exit code of the command line.
    fn code(&self) -> i32 {
        match self {
            Self::Parse(_) => -32700,
            Self::InvalidRequest(_) => -32600,
            Self::UnknownMethod(_) => -32601,
            Self::InvalidParams(_) => -32602,
            Self::Internal(_) => -32603,
            Self::Busy(_) => -32000,
            Self::Failed(error) => error.kind().exit_code().into(),
        }
    }

    /// The failure as the command line has it.
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_)
            | Self::InvalidRequest(_)
            | Self::UnknownMethod(_)
            | Self::InvalidParams(_) => ErrorKind::Usage,
            Self::Internal(_) => ErrorKind::Failure,
            Self::Busy(_) => ErrorKind::DaemonUnreachable,
            Self::Failed(error) => error.kind(),
        }
    }

    /// What went wrong, in one line.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Parse(text)
            | Self::InvalidRequest(text)
            | Self::UnknownMethod(text)
            | Self::InvalidParams(text)
            | Self::Internal(text)
            | Self::Busy(text) => excerpt(text, MESSAGE_SHOWN),
            Self::Failed(error) => excerpt(&error.to_string(), MESSAGE_SHOWN),
        }
    }

    fn document(&self, op_id: Uuid) -> Value {
        let (causes, hint) = match self {
            Self::Failed(error) => (error.causes(), error.hint()),
            _ => (Vec::new(), None),
        };
        json!({
            "code": self.code(),
            "message": self.message(),
            "data": {
                "kind": self.kind().code(),
                "exit_code": self.kind().exit_code(),
                "causes": causes,
                "hint": hint,
                OP_ID: op_id.to_string(),
            },
        })
    }
}

/// The beginning of a text that a client may have made as long as it likes.
pub(super) fn excerpt(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Reads a line. What is wrong comes with the id to answer: null where none can be told, and none for a
/// notification, which gets no answer.
pub(super) fn parse(line: &[u8]) -> Result<Call, (Option<Value>, Refusal)> {
    let value: Value = serde_json::from_slice(line).map_err(|error| {
        let message = format!("the line is not a JSON document: {error}");
        (Some(Value::Null), Refusal::Parse(message))
    })?;
    let invalid = |id: &Value, text: String| (Some(id.clone()), Refusal::InvalidRequest(text));
    let Value::Object(mut request) = value else {
        let message = "a request is an object, one a line; there are no batches";
        return Err(invalid(&Value::Null, message.into()));
    };
    let id = request.remove("id");
    let known = match &id {
        None => Value::Null,
        Some(id @ (Value::Null | Value::String(_) | Value::Number(_)))
            if id.to_string().len() <= ID_LIMIT =>
        {
            id.clone()
        }
        Some(_) => {
            let message =
                format!("id is not a string, a number or null of at most {ID_LIMIT} bytes");
            return Err(invalid(&Value::Null, message));
        }
    };
    match request.remove("jsonrpc") {
        Some(Value::String(version)) if version == VERSION => {}
        found => {
            let found = found.map_or("none".to_owned(), |found| found.to_string());
            let found = excerpt(&found, NAME_SHOWN);
            let message = format!("jsonrpc is {found}, and only \"{VERSION}\" is known");
            return Err(invalid(&known, message));
        }
    }
    let Some(Value::String(method)) = request.remove("method") else {
        return Err(invalid(&known, "method is not a string".into()));
    };
    let params = request.remove("params");
    if let Some(member) = request.keys().next() {
        let member = excerpt(member, NAME_SHOWN);
        return Err(invalid(&known, format!("unknown member {member:?}")));
    }
    let wrong = |text: &str| (id.clone(), Refusal::InvalidParams(text.to_owned()));
    let mut params = match params {
        None => Map::new(),
        Some(Value::Object(params)) => params,
        Some(_) => {
            return Err(wrong(
                "params is not an object: parameters are given by name",
            ));
        }
    };
    let progress = match params.remove(PROGRESS) {
        None => false,
        Some(Value::Bool(progress)) => progress,
        Some(_) => return Err(wrong("progress is neither true nor false")),
    };
    Ok(Call {
        id,
        method,
        params,
        progress,
    })
}

/// The line that answers a call.
pub(super) fn answer(id: &Value, op_id: Uuid, outcome: Result<Value, Refusal>) -> String {
    let mut document = json!({ "jsonrpc": VERSION, "id": id });
    match outcome {
        Ok(mut result) => {
            if let Value::Object(members) = &mut result {
                members.insert(OP_ID.into(), json!(op_id.to_string()));
            }
            document["result"] = result;
        }
        Err(refusal) => document["error"] = refusal.document(op_id),
    }
    format!("{document}\n")
}

/// The line of a call.
pub(super) fn call(id: u64, method: &str, params: &Value) -> String {
    let document = json!({ "jsonrpc": VERSION, "id": id, "method": method, "params": params });
    format!("{document}\n")
}

/// The line of a notification.
pub(super) fn notification(method: &str, params: &Value) -> String {
    let document = json!({ "jsonrpc": VERSION, "method": method, "params": params });
    format!("{document}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_line_has_its_standard_code() {
        for (line, id, code) in [
            (&b"{"[..], json!(null), -32700),
            (b"\xff\xfe", json!(null), -32700),
            (b"[]", json!(null), -32600),
            (b"1", json!(null), -32600),
            (br#"{"id":1,"method":"m"}"#, json!(1), -32600),
            (
                br#"{"jsonrpc":"1.0","id":1,"method":"m"}"#,
                json!(1),
                -32600,
            ),
            (br#"{"jsonrpc":2.0,"id":1,"method":"m"}"#, json!(1), -32600),
            (
                br#"{"jsonrpc":"2.0","id":[],"method":"m"}"#,
                json!(null),
                -32600,
            ),
            (
                br#"{"jsonrpc":"2.0","id":"a","method":1}"#,
                json!("a"),
                -32600,
            ),
            (
                br#"{"jsonrpc":"2.0","id":"a","method":"m","x":1}"#,
                json!("a"),
                -32600,
            ),
            (
                br#"{"jsonrpc":"2.0","id":2,"method":"m","params":[1]}"#,
                json!(2),
                -32602,
            ),
            (
                br#"{"jsonrpc":"2.0","id":2,"method":"m","params":{"progress":1}}"#,
                json!(2),
                -32602,
            ),
        ] {
            let text = String::from_utf8_lossy(line);
            let (found, refusal) = parse(line).expect_err(&text);
            assert_eq!((found, refusal.code()), (Some(id), code), "{text}");
        }
    }

    #[test]
    fn a_notification_gets_no_answer_and_an_id_has_a_limit() {
        let (id, _) = parse(br#"{"jsonrpc":"2.0","method":"m","params":[1]}"#).unwrap_err();
        assert_eq!(id, None);
        let long = format!(
            r#"{{"jsonrpc":"2.0","id":"{}","method":"m"}}"#,
            "x".repeat(300)
        );
        let (id, refusal) = parse(long.as_bytes()).unwrap_err();
        assert_eq!((id, refusal.code()), (Some(Value::Null), -32600));
        assert_eq!(excerpt("äöü", 2), "äö…");
        assert_eq!(excerpt("äö", 2), "äö");
    }

    #[test]
    fn a_call_is_taken_apart() {
        let line = br#"{"jsonrpc":"2.0","id":7,"method":"m","params":{"a":1,"progress":true}}"#;
        let call = parse(line).unwrap();
        assert_eq!(call.id, Some(json!(7)));
        assert_eq!(call.method, "m");
        assert!(call.progress);
        assert_eq!(Value::Object(call.params), json!({"a": 1}));
        assert_eq!(
            parse(br#"{"jsonrpc":"2.0","method":"m"}"#).unwrap().id,
            None
        );
    }

    #[test]
    fn failures_carry_their_kind_and_the_exit_code() {
        let op_id = Uuid::nil();
        let error = Error::new(ErrorKind::NotFound, "no image").with_hint("look");
        let line = answer(&json!(1), op_id, Err(Refusal::Failed(error)));
        let document: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(document["error"]["code"], 3);
        assert_eq!(document["error"]["data"]["kind"], "not-found");
        assert_eq!(document["error"]["data"]["exit_code"], 3);
        assert_eq!(document["error"]["data"]["hint"], "look");
        assert_eq!(document["error"]["data"]["op_id"], op_id.to_string());
    }
}
