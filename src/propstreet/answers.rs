//! What Propstreet's answers mean; the meanings of 409 live here and nowhere else. Pure: an answer in, the engine's word
//! out. Propstreet: "Errors and retries", "Idempotency", changelog 1.6.0; where they disagree both are understood.

use ::http::header::ETAG;
use ::http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::domain::failure::Trouble;
use crate::domain::redact::redact;
use crate::http::body;
use crate::http::pacer::Budget;
use crate::http::transport::Response;
use crate::http::verdict::{self, Verdict};
use crate::propstreet::network::WireCompany;
use crate::propstreet::payload::{WireContact, WirePage};
use crate::sync::destination::companies::{CompanyAnswer, LinkAnswer, SeenCompany};
use crate::sync::destination::{Conflict, CreateAnswer, DeleteAnswer, ListPage, PatchAnswer, Refusal, Seen};

/// Judges an answer as such. A success without JSON, or a refusal in HTML, comes from something in front of Propstreet
/// and says nothing about the contact: a gateway's 404 must never look like a deleted person.
pub fn judge(response: &Response) -> Verdict {
    let page = response.body().trim_ascii_start().starts_with(b"<");
    match verdict::general(response) {
        Verdict::Fine if !body::looks_like_json(response) => Verdict::Ambiguous,
        Verdict::Refused | Verdict::Forbidden if page && response.status().is_client_error() => Verdict::Ambiguous,
        verdict => verdict,
    }
}

/// Judges the answer to a deletion, which comes without a body: 204.
pub fn judge_deletion(response: &Response) -> Verdict {
    if response.status() == StatusCode::NO_CONTENT { Verdict::Fine } else { judge(response) }
}

/// `RateLimit-Limit`, `-Remaining` and `-Reset` (seconds) of every answer.
pub fn budget(headers: &HeaderMap) -> Option<Budget> {
    let number = |name: &str| -> Option<u32> {
        let text = headers.get(name)?.to_str().ok()?.trim();
        text.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some(Budget {
        limit: number("ratelimit-limit")?,
        remaining: number("ratelimit-remaining")?,
        reset: number("ratelimit-reset").map(|seconds| std::time::Duration::from_secs(seconds.into())),
    })
}

/// The answer to a create.
///
/// # Errors
/// [`Trouble::Ambiguous`] for a success that cannot be read; [`Trouble::Forbidden`], [`Trouble::Protocol`].
pub fn created(response: &Response) -> Result<CreateAnswer, Trouble> {
    let problem = Problem::of(response);
    match response.status() {
        status if status.is_success() => written(response).map(CreateAnswer::Accepted),
        StatusCode::CONFLICT => Ok(CreateAnswer::Conflict(problem.conflict())),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if problem.only_field("email") => {
            Ok(CreateAnswer::EmailRefused(problem.refusal()))
        }
        status if refuses_content(status) && problem.only_under("connections") => {
            Ok(CreateAnswer::EmploymentRefused(problem.refusal()))
        }
        status if refuses_content(status) => Ok(CreateAnswer::Rejected(problem.refusal())),
        _ => Err(problem.trouble()),
    }
}

/// The answer to a PATCH by id. 409 is a lost race, and 428 asks for the tag we did not have: both mean "read again".
///
/// # Errors
/// As [`created`].
pub fn patched(response: &Response) -> Result<PatchAnswer, Trouble> {
    let problem = Problem::of(response);
    match response.status() {
        status if status.is_success() => written(response).map(PatchAnswer::Written),
        StatusCode::PRECONDITION_FAILED | StatusCode::PRECONDITION_REQUIRED | StatusCode::CONFLICT => {
            Ok(PatchAnswer::Stale(problem.conflict()))
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(PatchAnswer::Missing),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY if problem.only_field("email") => {
            Ok(PatchAnswer::EmailRefused(problem.refusal()))
        }
        status if refuses_content(status) => Ok(PatchAnswer::Rejected(problem.refusal())),
        _ => Err(problem.trouble()),
    }
}

/// The answer to a DELETE by id, by the rules of [`patched`].
///
/// # Errors
/// [`Trouble::Forbidden`], [`Trouble::Protocol`].
pub fn deleted(response: &Response) -> Result<DeleteAnswer, Trouble> {
    let problem = Problem::of(response);
    match response.status() {
        status if status.is_success() => Ok(DeleteAnswer::Deleted),
        StatusCode::PRECONDITION_FAILED | StatusCode::PRECONDITION_REQUIRED | StatusCode::CONFLICT => {
            Ok(DeleteAnswer::Stale(problem.conflict()))
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(DeleteAnswer::Missing),
        status if refuses_content(status) => Ok(DeleteAnswer::Rejected(problem.refusal())),
        _ => Err(problem.trouble()),
    }
}

/// The answer to a look-up by ref or a read by id.
///
/// # Errors
/// [`Trouble::Protocol`] for a contact that cannot be read; [`Trouble::Forbidden`].
pub fn found(response: &Response) -> Result<Option<Seen>, Trouble> {
    match response.status() {
        status if status.is_success() => contact(response).map(Some),
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
        _ => Err(Problem::of(response).trouble()),
    }
}

/// A page of the list.
///
/// # Errors
/// [`Trouble::Protocol`] for a page that cannot be read whole; [`Trouble::Forbidden`].
pub fn listed(response: &Response) -> Result<ListPage, Trouble> {
    if response.status().is_success() {
        return body::json::<WirePage>(response)?.page();
    }
    Err(Problem::of(response).trouble())
}

/// Judges an answer about companies or employments. 501 is a refusal for good, not a server that stumbled.
pub fn judge_company(response: &Response) -> Verdict {
    if response.status() == StatusCode::NOT_IMPLEMENTED { Verdict::Refused } else { judge(response) }
}

/// The refusal of calls on companies as such, if this is one. On a collection 404 says the same: no such call here.
fn closed(response: &Response, collection: bool) -> Option<Trouble> {
    let closed = match response.status() {
        StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => true,
        StatusCode::NOT_FOUND => collection,
        _ => false,
    };
    closed.then(|| Trouble::Forbidden(Problem::of(response).words()))
}

/// The answer to a call on a collection of companies or employments, as it is read by `read`.
///
/// # Errors
/// [`Trouble::Forbidden`] where the tenant may not use it; [`Trouble::Protocol`].
pub fn of_collection<T>(response: &Response, read: impl FnOnce(&Response) -> Result<T, Trouble>) -> Result<T, Trouble> {
    match closed(response, true) {
        Some(trouble) => Err(trouble),
        None if response.status().is_success() => read(response),
        None => Err(Problem::of(response).trouble()),
    }
}

/// The answer to a look-up of a company by ref, or to a read by id: one that is hidden from us is not there for us.
///
/// # Errors
/// As [`of_collection`].
pub fn company_found(response: &Response, by_id: bool) -> Result<Option<SeenCompany>, Trouble> {
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(None),
        StatusCode::FORBIDDEN if by_id => Ok(None),
        _ => of_collection(response, company).map(Some),
    }
}

/// The answer to a create or a change of a company.
///
/// # Errors
/// [`Trouble::Ambiguous`] for a success that cannot be read; as [`of_collection`].
pub fn company_written(response: &Response, create: bool) -> Result<CompanyAnswer, Trouble> {
    let problem = Problem::of(response);
    match response.status() {
        StatusCode::PRECONDITION_FAILED | StatusCode::PRECONDITION_REQUIRED | StatusCode::CONFLICT => {
            Ok(CompanyAnswer::Conflict(problem.conflict()))
        }
        StatusCode::NOT_FOUND | StatusCode::GONE if !create => Ok(CompanyAnswer::Missing),
        status if refuses_content(status) => Ok(CompanyAnswer::Rejected(problem.refusal())),
        _ => of_collection(response, |response| {
            company(response).map_err(|trouble| Trouble::Ambiguous(trouble.to_string()))
        })
        .map(|seen| CompanyAnswer::Written(Box::new(seen))),
    }
}

/// The answer to a create or a change of an employment. Its body says nothing that the contact does not show. A 404 to a
/// create is the contact's or the company's: the list of employments was answered a moment ago.
///
/// # Errors
/// As [`of_collection`].
pub fn link_written(response: &Response) -> Result<LinkAnswer, Trouble> {
    let problem = Problem::of(response);
    match response.status() {
        StatusCode::PRECONDITION_FAILED | StatusCode::PRECONDITION_REQUIRED | StatusCode::CONFLICT => {
            Ok(LinkAnswer::Conflict)
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(LinkAnswer::Missing),
        status if refuses_content(status) => Ok(LinkAnswer::Rejected(problem.refusal())),
        _ => of_collection(response, |_| Ok(LinkAnswer::Written)),
    }
}

fn company(response: &Response) -> Result<SeenCompany, Trouble> {
    let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
    Ok(body::json::<WireCompany>(response)?.seen(etag))
}

fn contact(response: &Response) -> Result<Seen, Trouble> {
    let etag = response.headers().get(ETAG).and_then(|etag| etag.to_str().ok());
    Ok(body::json::<WireContact>(response)?.seen(etag))
}

/// A success whose words cannot be read leaves open what was written.
fn written(response: &Response) -> Result<Box<Seen>, Trouble> {
    contact(response).map(Box::new).map_err(|trouble| Trouble::Ambiguous(trouble.to_string()))
}

/// Statuses by which the content, not the caller, is refused.
fn refuses_content(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE)
}

/// A `problem+json` document (RFC 7807), or what came in its place.
struct Problem {
    status: StatusCode,
    body: Value,
}

impl Problem {
    fn of(response: &Response) -> Self {
        Self { status: response.status(), body: serde_json::from_slice(response.body()).unwrap_or_default() }
    }

    fn text(&self, key: &str) -> &str {
        self.body[key].as_str().unwrap_or_default()
    }

    fn errors(&self) -> impl Iterator<Item = (&String, &Value)> {
        self.body["errors"].as_object().into_iter().flatten()
    }

    /// Types are absolute URLs or `/help/<slug>`; the last segment is the name.
    fn is(&self, slug: &str) -> bool {
        self.text("type").trim_end_matches('/').rsplit('/').next() == Some(slug)
    }

    fn only_field(&self, field: &str) -> bool {
        let mut fields = self.errors().map(|(name, _)| name.trim_start_matches("$."));
        fields.next().is_some_and(|name| name.eq_ignore_ascii_case(field)) && fields.next().is_none()
    }

    /// Whether all errors are about one field or what is inside it: `connections[0].company.id`.
    fn only_under(&self, field: &str) -> bool {
        let under = |name: &str| name.trim_start_matches("$.").split(['[', '.']).next() == Some(field);
        let mut fields = self.errors().map(|(name, _)| under(name)).peekable();
        fields.peek().is_some() && fields.all(|under| under)
    }

    fn conflict(&self) -> Conflict {
        Conflict { race: self.is("concurrency-conflict"), detail: self.words() }
    }

    fn refusal(&self) -> Refusal {
        Refusal { detail: self.words() }
    }

    fn trouble(&self) -> Trouble {
        match self.status {
            StatusCode::FORBIDDEN => Trouble::Forbidden(self.words()),
            StatusCode::UNAUTHORIZED => Trouble::Credential(self.words()),
            _ => Trouble::Protocol(self.words()),
        }
    }

    /// Status, title, detail and errors by field, redacted.
    fn words(&self) -> String {
        let mut words = vec![format!("HTTP {} {}", self.status.as_u16(), self.text("title")).trim().to_owned()];
        words.extend(Some(self.text("detail").to_owned()).filter(|detail| !detail.is_empty()));
        for (field, messages) in self.errors() {
            let messages: Vec<_> = match messages {
                Value::Array(messages) => messages.iter().filter_map(Value::as_str).collect(),
                message => message.as_str().into_iter().collect(),
            };
            words.push(format!("{field}: {}", messages.join(", ")));
        }
        redact(&words.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::scripted::answer;

    const CONTACT: &str = r#"{"id":"7","etag":"W/\"A=\""}"#;
    const RACE: &str = r#"{"type":"/help/concurrency-conflict","title":"Conflict"}"#;
    const RACE_AS_URL: &str = r#"{"type":"https://app.propstreet.com/help/concurrency-conflict/"}"#;
    const TAKEN: &str =
        r#"{"type":"https://tools.ietf.org/html/rfc7807","title":"Conflict","detail":"a@b.se is taken"}"#;
    const EMAIL: &str = r#"{"title":"Validation Error","errors":{"Email":["anna@firma.se is taken"]}}"#;
    const BOTH: &str = r#"{"title":"Validation Error","errors":{"email":["bad"],"phone":"+46 70 123 45 67 is bad"}}"#;

    /// What the engine hears about one answer: to a create, a PATCH and a look-up.
    fn heard(status: u16, body: &str) -> [String; 3] {
        let response = answer(status, &[], body);
        let verdict = judge(&response);
        if !matches!(verdict, Verdict::Fine | Verdict::Forbidden | Verdict::Refused) {
            return [(); 3].map(|()| format!("{verdict:?}"));
        }
        let trouble = |trouble: Trouble| trouble.code().to_owned();
        let create = created(&response).map_or_else(trouble, |answer| match answer {
            CreateAnswer::Accepted(seen) => format!("accepted {}", seen.id),
            CreateAnswer::Conflict(conflict) => format!("conflict{}", if conflict.race { " race" } else { "" }),
            CreateAnswer::EmailRefused(_) => "email refused".to_owned(),
            CreateAnswer::EmploymentRefused(_) => "employment refused".to_owned(),
            CreateAnswer::Rejected(_) => "rejected".to_owned(),
        });
        let patch = patched(&response).map_or_else(trouble, |answer| match answer {
            PatchAnswer::Written(seen) => format!("written {}", seen.id),
            PatchAnswer::Stale(conflict) => format!("stale{}", if conflict.race { " race" } else { "" }),
            PatchAnswer::Missing => "missing".to_owned(),
            PatchAnswer::EmailRefused(_) => "email refused".to_owned(),
            PatchAnswer::Rejected(_) => "rejected".to_owned(),
        });
        let find = found(&response).map_or_else(trouble, |seen| seen.map_or("nobody".to_owned(), |seen| seen.id));
        [create, patch, find]
    }

    #[test]
    fn every_answer_has_one_meaning() {
        let ambiguous = ["Ambiguous"; 3];
        let unexpected = ["unexpected_answer"; 3];
        let retry = ["Retry { after: None }"; 3];
        let cases = [
            (200, CONTACT, ["accepted 7", "written 7", "7"]),
            (201, CONTACT, ["accepted 7", "written 7", "7"]),
            (200, r#"{"id":7}"#, ["accepted 7", "written 7", "7"]),
            (201, "{}", ["answer_lost", "answer_lost", "unexpected_answer"]),
            (201, r#"{"id":"7","tags":"x"}"#, ["answer_lost", "answer_lost", "unexpected_answer"]),
            (201, r#"{"id":"#, ambiguous),
            (200, "<html>", ambiguous),
            (204, "", ambiguous),
            (302, "", unexpected),
            (400, BOTH, ["rejected", "rejected", "unexpected_answer"]),
            (400, EMAIL, ["email refused", "email refused", "unexpected_answer"]),
            (422, EMAIL, ["email refused", "email refused", "unexpected_answer"]),
            (422, "Unprocessable", ["rejected", "rejected", "unexpected_answer"]),
            (413, "", ["rejected", "rejected", "unexpected_answer"]),
            (401, "", ["Unauthorized"; 3]),
            (403, "{}", ["forbidden"; 3]),
            (403, "<html>blocked", ambiguous),
            (404, "{}", ["unexpected_answer", "missing", "nobody"]),
            (404, "", ["unexpected_answer", "missing", "nobody"]),
            (404, " <!doctype html>", ambiguous),
            (410, "{}", ["unexpected_answer", "missing", "nobody"]),
            (409, TAKEN, ["conflict", "stale", "unexpected_answer"]),
            (409, RACE, ["conflict race", "stale race", "unexpected_answer"]),
            (409, RACE_AS_URL, ["conflict race", "stale race", "unexpected_answer"]),
            (409, "", ["conflict", "stale", "unexpected_answer"]),
            (412, "{}", ["unexpected_answer", "stale", "unexpected_answer"]),
            (428, "{}", ["unexpected_answer", "stale", "unexpected_answer"]),
            (405, "{}", unexpected),
            (408, "", ambiguous),
            (429, "", retry),
            (500, "{}", ambiguous),
            (502, "<html>", ambiguous),
            (503, "", ambiguous),
            (504, "", ambiguous),
        ];
        for (status, body, expected) in cases {
            assert_eq!(heard(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_deletion_is_answered_without_a_body() {
        for (status, body, expected) in [
            (204, "", "Deleted"),
            (200, "{}", "Deleted"),
            (200, "<html>", "Ambiguous"),
            (404, "{}", "Missing"),
            (404, "<html>", "Ambiguous"),
            (410, "", "Missing"),
            (409, RACE, "Stale"),
            (412, "{}", "Stale"),
            (428, "{}", "Stale"),
            (400, BOTH, "Rejected"),
            (403, "{}", "Forbidden"),
            (405, "{}", "Protocol"),
            (500, "", "Ambiguous"),
        ] {
            let response = answer(status, &[], body);
            let heard = match judge_deletion(&response) {
                Verdict::Fine | Verdict::Forbidden | Verdict::Refused => format!("{:?}", deleted(&response)),
                verdict => format!("{verdict:?}"),
            };
            let heard = heard.trim_start_matches("Ok(").trim_start_matches("Err(");
            assert!(heard.starts_with(expected), "{status} {body}: {heard}");
        }
        assert_eq!(judge(&answer(204, &[], "")), Verdict::Ambiguous, "elsewhere a body is owed");
    }

    #[test]
    fn words_keep_fields_and_lose_people() {
        let words = |status, body| Problem::of(&answer(status, &[], body)).words();
        assert_eq!(words(409, TAKEN), "HTTP 409 Conflict; [address] is taken");
        assert_eq!(words(400, BOTH), "HTTP 400 Validation Error; email: bad; phone: [number] is bad");
        assert_eq!(words(409, "gone wild"), "HTTP 409");
    }

    #[test]
    fn a_list_is_read_whole_or_not_at_all() {
        let page = |body| listed(&answer(200, &[], body));
        let whole = page(r#"{"data":[{"id":1},{"id":"2"}],"page":{"hasMore":true,"nextCursor":"c"}}"#).unwrap();
        assert_eq!((whole.contacts.len(), whole.next.as_deref()), (2, Some("c")));
        assert!(matches!(page(r#"{"data":[{"id":1},{}],"page":{"hasMore":false}}"#), Err(Trouble::Protocol(_))));
        assert!(matches!(listed(&answer(400, &[], "{}")), Err(Trouble::Protocol(_))));
        assert!(matches!(listed(&answer(403, &[], "{}")), Err(Trouble::Forbidden(_))));
    }

    #[test]
    fn rate_headers_are_read_and_never_required() {
        let read = |headers| budget(answer(200, headers, "").headers());
        let full = [("RateLimit-Limit", "600, 600;w=60"), ("RateLimit-Remaining", "599"), ("RateLimit-Reset", "42")];
        let reset = Some(std::time::Duration::from_secs(42));
        assert_eq!(read(&full), Some(Budget { limit: 600, remaining: 599, reset }));
        assert_eq!(read(&full[..2]), Some(Budget { limit: 600, remaining: 599, reset: None }));
        assert_eq!(read(&full[1..]), None);
    }

    #[test]
    fn an_employment_that_is_refused_is_told_from_a_person_who_is() {
        let refused = |errors: &str| {
            let body = format!(r#"{{"title":"Validation Error","errors":{errors}}}"#);
            matches!(created(&answer(400, &[], &body)), Ok(CreateAnswer::EmploymentRefused(_)))
        };
        assert!(refused(r#"{"connections[0].company.id":["no such company"]}"#));
        assert!(refused(r#"{"connections":["bad"],"$.connections[0].jobTitle":["long"]}"#));
        assert!(!refused(r#"{"connections":["bad"],"phone":["bad"]}"#) && !refused(r#"{"phone":["bad"]}"#));
        assert!(!refused("{}"));
    }

    #[test]
    fn a_tenant_without_companies_is_told_from_a_company_that_is_not_there() {
        let company = r#"{"id":"7","name":"Nord"}"#;
        let told = |status: u16| {
            let response = answer(status, &[], if status < 300 { company } else { r#"{"title":"No"}"# });
            assert!(
                matches!(judge_company(&response), Verdict::Fine | Verdict::Forbidden | Verdict::Refused),
                "{status}"
            );
            let code = |trouble: Trouble| trouble.code().to_owned();
            let found = |by_id| match company_found(&response, by_id) {
                Ok(seen) => seen.map_or("nobody".to_owned(), |seen| seen.id),
                Err(trouble) => code(trouble),
            };
            let written = |create| match company_written(&response, create) {
                Ok(CompanyAnswer::Written(seen)) => seen.id,
                Ok(CompanyAnswer::Conflict(_)) => "conflict".to_owned(),
                Ok(CompanyAnswer::Missing) => "missing".to_owned(),
                Ok(CompanyAnswer::Rejected(_)) => "rejected".to_owned(),
                Err(trouble) => code(trouble),
            };
            let list = of_collection(&response, |_| Ok(())).map_or_else(code, |()| "fine".to_owned());
            [found(false), found(true), written(true), written(false), list].join(" ")
        };
        for (status, expected) in [
            (200, "7 7 7 7 fine"),
            (403, "forbidden nobody forbidden forbidden forbidden"),
            (404, "nobody nobody forbidden missing forbidden"),
            (405, "forbidden forbidden forbidden forbidden forbidden"),
            (501, "forbidden forbidden forbidden forbidden forbidden"),
            (409, "unexpected_answer unexpected_answer conflict conflict unexpected_answer"),
            (412, "unexpected_answer unexpected_answer conflict conflict unexpected_answer"),
            (400, "unexpected_answer unexpected_answer rejected rejected unexpected_answer"),
        ] {
            assert_eq!(told(status), expected, "{status}");
        }
    }
}
