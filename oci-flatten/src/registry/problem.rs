//! Responses that are refusals, made into errors.

use http::StatusCode;
use oci_client::errors::{OciEnvelope, OciErrorCode};
use reqwest::Response;

use super::retry::{Failure, Remedy, requested_wait};
use super::transport::read_body;
use crate::error::{Error, ErrorKind};

/// Most of an error's body that is read, in bytes.
const BODY_LIMIT: u64 = 1 << 20;
/// Most of its text that is shown, in characters.
const SHOWN: usize = 200;

/// The failure that a response without success means.
pub(super) async fn classify(response: Response, doing: &str) -> Failure {
    let status = response.status();
    let requested = requested_wait(response.headers());
    let said = match read_body(response, BODY_LIMIT, "error").await {
        Ok(body) => excerpt(&body),
        Err(_) => None,
    };
    let said = said.map(|said| format!(": {said}")).unwrap_or_default();
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Unauthorized,
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        _ => ErrorKind::Network,
    };
    let error = Error::new(kind, format!("{doing}: HTTP {status}{said}"));
    let remedy = match (is_transient(status), requested) {
        (false, _) => Remedy::None,
        (true, None) => Remedy::Wait,
        (true, Some(wait)) => Remedy::WaitFor(wait),
    };
    Failure { error, remedy }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// What the registry says, by the distribution specification or as plain text; never HTML.
fn excerpt(body: &[u8]) -> Option<String> {
    let text = match serde_json::from_slice::<OciEnvelope>(body) {
        Ok(envelope) => {
            let first = envelope.errors.into_iter().next()?;
            if first.message.is_empty() {
                spell(&first.code)
            } else {
                first.message
            }
        }
        Err(_) => String::from_utf8(body.to_vec()).ok()?.trim().to_owned(),
    };
    let unfit = text.is_empty() || text.starts_with(['<', '{', '[']);
    (!unfit).then(|| {
        text.chars()
            .take(SHOWN)
            .flat_map(char::escape_debug)
            .collect()
    })
}

fn spell(code: &OciErrorCode) -> String {
    match code {
        OciErrorCode::Other(code) => code.clone(),
        known => format!("{known:?}"),
    }
}
