//! `GET /dashboard`: the service at a glance, in a browser. One page, nothing from elsewhere.
//!
//! The page asks `/metrics` and `/health` every two seconds, and the read routes when somebody looks a wallet up; it knows
//! nothing that other clients could not ask for too. What it may run and reach is pinned by its security policy: the one
//! style and the one script inside it, by their hashes, and this service.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use sha2::{Digest, Sha256};

use super::response::{Body, whole};

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const STYLE: &str = include_str!("page.css");
/// In the order in which they need each other.
const SCRIPT: &str =
    concat!(include_str!("figures.js"), include_str!("charts.js"), include_str!("wallets.js"), include_str!("page.js"));

static PAGE: LazyLock<Bytes> = LazyLock::new(|| html().into());
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    HeaderValue::try_from(policy()).unwrap_or(HeaderValue::from_static("default-src 'none'; sandbox"))
});

/// A page that shows throughput, latency, lag, errors, dead letters, and wallets with their history.
#[utoipa::path(
    get,
    path = "/dashboard",
    operation_id = "getDashboard",
    tag = "service",
    responses((status = 200, description = "The page", content_type = "text/html", body = String))
)]
pub(super) fn page() -> Response<Body> {
    let mut response = whole(StatusCode::OK, HTML, PAGE.clone());
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // Another version of the service has another page.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn html() -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Wallex</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style></head>\n{body}<script>{SCRIPT}</script>\n</html>\n",
        body = include_str!("body.html"),
    )
}

/// Allows this very style and script, and requests to this service.
fn policy() -> String {
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
}

fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_writes_no_data_as_markup() {
        let page = html();
        for from_elsewhere in ["http://", "https://", "src=", "@import", "url("] {
            let found = page.match_indices(from_elsewhere).map(|(at, _)| &page[at..]);
            let found = found.filter(|text| !text.starts_with("http://www.w3.org/2000/svg")).count();
            assert_eq!(found, 0, "{from_elsewhere}");
        }
        for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "onclick="]
        {
            assert!(!page.contains(markup), "{markup}");
        }
    }

    #[test]
    fn style_and_script_end_where_the_page_ends_them() {
        // A closing tag inside would cut them short, and then the hashes would not be theirs.
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</"));
        assert_eq!(html().matches(SCRIPT).count(), 1);
        assert!(POLICY.to_str().unwrap().contains("script-src 'sha256-"));
    }
}
