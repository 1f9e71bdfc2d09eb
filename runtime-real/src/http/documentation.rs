//! What the service says about itself: the OpenAPI document, the interactive page, and an explanation of each problem.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use hyper::body::Bytes;
use hyper::header::{CONTENT_ENCODING, HeaderValue, LOCATION};
use hyper::{Response, StatusCode};
use utoipa_swagger_ui::Config as PageConfig;

use super::openapi;
use super::problem::{Code, Problem};
use super::response::{Body, JSON, json, whole};

const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| openapi::json().into());
static PAGE: LazyLock<Arc<PageConfig<'static>>> = LazyLock::new(|| Arc::new(PageConfig::from("/openapi.json")));

/// What this service is, and where to read on.
#[utoipa::path(
    get,
    path = "/",
    operation_id = "getService",
    tag = "service",
    responses((status = 200, description = "Name, version and links", body = super::schema::About))
)]
pub(super) fn root() -> Response<Body> {
    let version = env!("CARGO_PKG_VERSION");
    json(
        format!(
            "{{\"name\":\"wallex\",\"version\":\"{version}\",\"documentation\":\"/docs\",\"openapi\":\"/openapi.json\",\
             \"health\":\"/health\",\"metrics\":\"/metrics\",\"dashboard\":\"/dashboard\"}}"
        )
        .into_bytes(),
    )
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "getOpenApi",
    tag = "service",
    responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object))
)]
pub(super) fn openapi() -> Response<Body> {
    whole(StatusCode::OK, JSON, OPENAPI.clone())
}

/// An interactive page over this document.
#[utoipa::path(
    get,
    path = "/docs",
    operation_id = "getDocs",
    tag = "service",
    responses((status = 307, description = "To the page", headers(("Location" = String, description = "The page"))))
)]
pub(super) fn page(file: &str) -> Result<Response<Body>, Problem> {
    if file.is_empty() {
        // The page names its files relative to a directory.
        let mut redirect = whole(StatusCode::TEMPORARY_REDIRECT, HTML, Bytes::new());
        redirect.headers_mut().insert(LOCATION, HeaderValue::from_static("/docs/index.html"));
        return Ok(redirect);
    }
    let missing = || Problem::new(Code::NotFound, format!("there is no {file} in the documentation"));
    let found = utoipa_swagger_ui::serve(file, Arc::clone(&PAGE)).ok().flatten().ok_or_else(missing)?;
    let media_type = HeaderValue::try_from(found.content_type).map_err(|_| missing())?;
    let mut response = whole(StatusCode::OK, media_type, found.bytes.into_owned());
    if found.gzpipped {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// What a problem's `code` means: the page that its `type` leads to.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    operation_id = "getProblem",
    tag = "service",
    params(("code" = String, Path, description = "The code of a problem", example = "insufficient-funds")),
    responses(
        (status = 200, description = "The explanation", content_type = "text/html"),
        (status = 404, description = "`not-found`", body = super::schema::Problem, content_type = "application/problem+json")
    )
)]
pub(super) fn problem(code: &str) -> Result<Response<Body>, Problem> {
    let code = Code::named(code).ok_or_else(|| Problem::new(Code::NotFound, "there is no problem with this code"))?;
    let mut page = String::with_capacity(512);
    let _ = write!(
        page,
        "<!doctype html><meta charset=utf-8><title>{name}</title><h1>{title}</h1>\
         <p><code>{name}</code>, HTTP status {status}</p><p>{explanation}</p><p><a href=\"/docs\">The interface</a></p>",
        name = code.name(),
        title = code.title(),
        status = code.status().as_u16(),
        explanation = code.explanation(),
    );
    Ok(whole(StatusCode::OK, HTML, page))
}
