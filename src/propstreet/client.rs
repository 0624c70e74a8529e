//! The calls on contacts. A create is one POST, a change one PATCH under `If-Match`; what an answer means stands in
//! [`answers`]. Propstreet: the pages under "Contacts".

use std::time::Duration;

use ::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, IF_MATCH};
use ::http::{HeaderValue, Method};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use url::Url;

use crate::domain::Timestamp;
use crate::domain::contact::Contact;
use crate::domain::failure::Trouble;
use crate::domain::identity::{ExternalRef, RefKey};
use crate::http::client::Call;
use crate::http::token::Token;
use crate::http::transport::{Request, Response};
use crate::propstreet::{Propstreet, answers, payload};
use crate::sync::destination::{
    ContactDestination, CreateAnswer, DeleteAnswer, ListFrom, ListPage, Patch, PatchAnswer, Seen,
};

/// The largest page Propstreet gives.
const PAGE_SIZE: &str = "500";

/// The URL of a path below the base, every segment encoded.
///
/// # Errors
/// [`Trouble::Protocol`] for a segment that cannot stand in a path: an empty id would turn a look-up into a list.
pub fn endpoint(base: &Url, segments: &[&str]) -> Result<Url, Trouble> {
    let unfit = || Trouble::Protocol("an id that cannot stand in a URL".to_owned());
    if segments.iter().any(|segment| matches!(*segment, "" | "." | "..") || segment.contains(['\t', '\r', '\n'])) {
        return Err(unfit());
    }
    let mut url = base.clone();
    url.path_segments_mut().map_err(|()| unfit())?.pop_if_empty().extend(segments);
    Ok(url)
}

impl Propstreet {
    fn contacts(&self, below: &[&str]) -> Result<Url, Trouble> {
        endpoint(&self.base_url, &[&["api", "v1", "network", "contacts"], below].concat())
    }

    fn page(&self, from: &ListFrom, page_size: &str) -> Result<Request, Trouble> {
        let mut url = self.contacts(&[])?;
        let mut query = url.query_pairs_mut();
        match from {
            // A cursor carries the other parameters in it.
            ListFrom::Cursor(cursor) => query.append_pair("cursor", cursor),
            ListFrom::Start => query.append_pair("include_deleted", "true").append_pair("page_size", page_size),
            ListFrom::Since(updated) => query
                .append_pair("updated_since", updated)
                .append_pair("include_deleted", "true")
                .append_pair("page_size", page_size),
        };
        drop(query);
        request(Method::GET, &url, Bytes::new())
    }

    pub(super) async fn send(&self, call: Call) -> Result<Response, Trouble> {
        self.upstream.authorized(&self.tokens, |token| with(token, &call)).await
    }

    async fn show(&self, subject: &RefKey, below: &[&str]) -> Result<Option<Seen>, Trouble> {
        let request = request(Method::GET, &self.contacts(below)?, Bytes::new())?;
        answers::found(&self.send(Call::read(request, answers::judge).about(subject)).await?)
    }
}

impl ContactDestination for Propstreet {
    fn create<'a>(
        &'a self,
        subject: &'a RefKey,
        contact: &'a Contact,
        reference: &'a ExternalRef,
        employer: Option<&'a str>,
        idempotency_key: &'a str,
    ) -> BoxFuture<'a, Result<CreateAnswer, Trouble>> {
        Box::pin(async move {
            let mut request =
                request(Method::POST, &self.contacts(&[])?, payload::create(contact, reference, employer)?)?;
            request.headers_mut().insert("idempotency-key", header(idempotency_key)?);
            answers::created(&self.send(Call::write(request, answers::judge).about(subject)).await?)
        })
    }

    fn revive<'a>(
        &'a self,
        subject: &'a RefKey,
        contact: &'a Contact,
        reference: &'a ExternalRef,
    ) -> BoxFuture<'a, Result<CreateAnswer, Trouble>> {
        Box::pin(async move {
            let mut url = self.contacts(&["external", &reference.namespace, &reference.id])?;
            url.query_pairs_mut().append_pair("revive", "true");
            let request = request(Method::PATCH, &url, payload::upsert(contact)?)?;
            answers::created(&self.send(Call::write(request, answers::judge).about(subject)).await?)
        })
    }

    fn find<'a>(
        &'a self,
        subject: &'a RefKey,
        reference: &'a ExternalRef,
    ) -> BoxFuture<'a, Result<Option<Seen>, Trouble>> {
        Box::pin(async move { self.show(subject, &["external", &reference.namespace, &reference.id]).await })
    }

    fn read<'a>(&'a self, subject: &'a RefKey, id: &'a str) -> BoxFuture<'a, Result<Option<Seen>, Trouble>> {
        Box::pin(async move { self.show(subject, &[id]).await })
    }

    fn patch<'a>(
        &'a self,
        subject: &'a RefKey,
        id: &'a str,
        etag: Option<&'a str>,
        patch: &'a Patch,
    ) -> BoxFuture<'a, Result<PatchAnswer, Trouble>> {
        Box::pin(async move {
            let mut request = request(Method::PATCH, &self.contacts(&[id])?, payload::patch(patch)?)?;
            if let Some(etag) = etag {
                request.headers_mut().insert(IF_MATCH, header(etag)?);
            }
            answers::patched(&self.send(Call::write(request, answers::judge).about(subject)).await?)
        })
    }

    fn delete<'a>(
        &'a self,
        subject: &'a RefKey,
        id: &'a str,
        etag: Option<&'a str>,
    ) -> BoxFuture<'a, Result<DeleteAnswer, Trouble>> {
        Box::pin(async move {
            let mut request = request(Method::DELETE, &self.contacts(&[id])?, Bytes::new())?;
            if let Some(etag) = etag {
                request.headers_mut().insert(IF_MATCH, header(etag)?);
            }
            answers::deleted(&self.send(Call::write(request, answers::judge_deletion).about(subject)).await?)
        })
    }

    fn list(&self, from: ListFrom) -> BoxFuture<'_, Result<ListPage, Trouble>> {
        Box::pin(async move {
            let request = self.page(&from, PAGE_SIZE)?;
            answers::listed(&self.send(Call::read(request, answers::judge)).await?)
        })
    }

    fn recovered(&self, patience: Duration) -> BoxFuture<'_, Result<(), Trouble>> {
        Box::pin(async move {
            let probe = Call::read(self.page(&ListFrom::Start, "1")?, answers::judge);
            self.upstream.recovered(patience, &self.tokens, |token| with(token, &probe)).await
        })
    }

    fn binding(&self) -> String {
        format!("{} as {}", self.base_url, self.client)
    }

    fn requests(&self) -> u64 {
        self.upstream.requests()
    }

    fn server_now(&self) -> Option<Timestamp> {
        self.upstream.server_now()
    }
}

pub(super) fn request(method: Method, url: &Url, body: Bytes) -> Result<Request, Trouble> {
    let mut request = ::http::Request::builder().method(method).uri(url.as_str()).header(ACCEPT, "application/json");
    if !body.is_empty() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    request.body(body).map_err(|error| Trouble::Protocol(error.to_string()))
}

/// Byte for byte: a weak tag keeps its `W/` and its quotes.
pub(super) fn header(value: &str) -> Result<HeaderValue, Trouble> {
    HeaderValue::from_bytes(value.as_bytes()).map_err(|error| Trouble::Protocol(error.to_string()))
}

fn with(token: &Token, call: &Call) -> Call {
    let mut call = call.clone();
    call.request.headers_mut().insert(AUTHORIZATION, token.bearer());
    call
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{Clock, Dice};
    use crate::domain::contact::Draft;
    use crate::domain::limits;
    use crate::http::scripted::{Scripted, answer};
    use crate::http::transport::{Failure, Transport};
    use crate::propstreet::{Auth, Settings};

    const CONTACT: &str = r#"{"id":"7","etag":"W/\"A=\""}"#;
    const EMPTY_PAGE: &str = r#"{"data":[],"page":{"hasMore":false}}"#;

    fn over(network: &Arc<Scripted>, auth: Auth) -> Propstreet {
        let base_url = "https://proxy.example/propstreet/".parse().unwrap();
        let settings = Settings { base_url, auth, requests_per_minute: None };
        let transport = Arc::clone(network) as Arc<dyn Transport>;
        Propstreet::new(settings, transport, Clock::simulated(Timestamp::UNIX_EPOCH), Dice::seeded(1))
    }

    fn with_token(network: &Arc<Scripted>) -> Propstreet {
        over(network, Auth::Token { token: "pat_1".into() })
    }

    fn with_client(network: &Arc<Scripted>) -> Propstreet {
        over(network, Auth::ClientCredentials { client_id: "bot".to_owned(), client_secret: "s&cret".into() })
    }

    fn subject() -> RefKey {
        RefKey::from_parts("hubspot", "42")
    }

    fn reference(id: &str) -> ExternalRef {
        ExternalRef { namespace: "hubspot".to_owned(), id: id.to_owned() }
    }

    fn anna() -> Contact {
        limits::check(Draft { last_name: Some("Berg".to_owned()), ..Draft::default() }).unwrap()
    }

    async fn create(propstreet: &Propstreet) -> Result<CreateAnswer, Trouble> {
        propstreet.create(&subject(), &anna(), &reference("42"), None, "key-1").await
    }

    fn line(request: &Request) -> String {
        format!("{} {}", request.method(), request.uri().path_and_query().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_sent_as_documented() {
        let network = Scripted::answering(|_, request| {
            let list = request.method() == Method::GET && request.uri().path().ends_with("/contacts");
            Ok(answer(200, &[], if list { EMPTY_PAGE } else { CONTACT }))
        });
        let propstreet = with_token(&network);
        let (subject, patch) = (subject(), Patch { refs: Some(vec![reference("42")]), ..Patch::default() });
        create(&propstreet).await.unwrap();
        propstreet.find(&subject, &reference("a/b c?#%å")).await.unwrap();
        propstreet.read(&subject, "7").await.unwrap();
        propstreet.patch(&subject, "7", Some("W/\"A=\""), &patch).await.unwrap();
        propstreet.patch(&subject, "7", None, &patch).await.unwrap();
        propstreet.list(ListFrom::Start).await.unwrap();
        propstreet.list(ListFrom::Since("2025-01-15T10:00:00.1234567Z".to_owned())).await.unwrap();
        propstreet.list(ListFrom::Cursor("a+b=".to_owned())).await.unwrap();
        propstreet.recovered(Duration::ZERO).await.unwrap();
        propstreet.delete(&subject, "7", Some("W/\"A=\"")).await.unwrap();

        let seen = network.seen();
        let contacts = "/propstreet/api/v1/network/contacts";
        let expected = [
            format!("POST {contacts}"),
            format!("GET {contacts}/external/hubspot/a%2Fb%20c%3F%23%25%C3%A5"),
            format!("GET {contacts}/7"),
            format!("PATCH {contacts}/7"),
            format!("PATCH {contacts}/7"),
            format!("GET {contacts}?include_deleted=true&page_size=500"),
            format!("GET {contacts}?updated_since=2025-01-15T10%3A00%3A00.1234567Z&include_deleted=true&page_size=500"),
            format!("GET {contacts}?cursor=a%2Bb%3D"),
            format!("GET {contacts}?include_deleted=true&page_size=1"),
            format!("DELETE {contacts}/7"),
        ];
        assert_eq!(seen.iter().map(line).collect::<Vec<_>>(), expected);
        assert!(seen.iter().all(|request| request.headers()["authorization"] == "Bearer pat_1"));
        assert_eq!(seen[0].headers()["idempotency-key"], "key-1");
        assert_eq!(seen[3].headers()["if-match"], "W/\"A=\"");
        assert!(!seen[4].headers().contains_key("if-match"));
        assert_eq!(seen[9].headers()["if-match"], "W/\"A=\"");
        assert_eq!(propstreet.requests(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_id_never_turns_a_look_up_into_a_list() {
        let network = Scripted::answering(|_, _| Ok(answer(200, &[], EMPTY_PAGE)));
        let propstreet = with_token(&network);
        for id in ["", ".", "..", "a\nb"] {
            assert!(matches!(propstreet.read(&subject(), id).await, Err(Trouble::Protocol(_))));
            assert!(matches!(propstreet.find(&subject(), &reference(id)).await, Err(Trouble::Protocol(_))));
        }
        assert!(network.seen().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_create_is_not_sent_again() {
        for lost in
            [|| Err(Failure::Lost("reset".to_owned())), || Ok(answer(500, &[], "")), || Ok(answer(201, &[], "<"))]
        {
            let network = Scripted::answering(move |_, _| lost());
            assert!(matches!(create(&with_token(&network)).await, Err(Trouble::Ambiguous(_))));
            assert_eq!(network.seen().len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_logs_in_once_and_again_when_its_token_is_refused() {
        let network = Scripted::answering(|n, request| {
            Ok(match (request.uri().path(), n) {
                ("/propstreet/openid/token", 0) => answer(200, &[], r#"{"access_token":"t1"}"#),
                ("/propstreet/openid/token", _) => answer(200, &[], r#"{"access_token":"t2","expires_in":"3600"}"#),
                _ if request.headers()["authorization"] == "Bearer t2" => answer(201, &[], CONTACT),
                _ => answer(401, &[], ""),
            })
        });
        let propstreet = with_client(&network);
        assert!(matches!(create(&propstreet).await, Ok(CreateAnswer::Accepted(seen)) if seen.id == "7"));
        create(&propstreet).await.unwrap();
        let seen = network.seen();
        assert_eq!(
            seen.iter().map(|request| request.uri().path().ends_with("token")).collect::<Vec<_>>(),
            [true, false, true, false, false]
        );
        let form = "grant_type=client_credentials&client_id=bot&client_secret=s%26cret&scope=api%3Apublic";
        assert_eq!(seen[0].body(), form);
    }

    #[tokio::test(start_paused = true)]
    async fn credentials_and_permissions_are_told_apart() {
        let refusing =
            |status| Scripted::answering(move |_, _| Ok(answer(status, &[], r#"{"error":"invalid_client"}"#)));
        assert!(matches!(create(&with_token(&refusing(401))).await, Err(Trouble::Credential(_))));
        assert!(matches!(create(&with_token(&refusing(403))).await, Err(Trouble::Forbidden(_))));
        assert!(matches!(create(&with_client(&refusing(400))).await, Err(Trouble::Credential(_))));
        let always_401 = Scripted::answering(|_, request| {
            let login = request.uri().path().ends_with("token");
            Ok(if login { answer(200, &[], r#"{"access_token":"t"}"#) } else { answer(401, &[], "") })
        });
        assert!(matches!(create(&with_client(&always_401)).await, Err(Trouble::Credential(_))));
        assert_eq!(always_401.seen().len(), 4, "two logins, two refusals, no storm");
    }

    #[tokio::test(start_paused = true)]
    async fn one_poison_record_is_no_outage_and_a_failing_list_is() {
        let network = Scripted::answering(|_, _| Ok(answer(500, &[], "")));
        let propstreet = with_token(&network);
        for _ in 0..5 {
            assert!(matches!(create(&propstreet).await, Err(Trouble::Ambiguous(_))));
        }
        assert!(matches!(propstreet.list(ListFrom::Start).await, Err(Trouble::Ambiguous(_))));
        assert!(matches!(create(&propstreet).await, Err(Trouble::Outage(_))));
    }

    #[test]
    fn the_binding_names_host_and_client_and_no_secret() {
        let network = Scripted::answering(|_, _| Ok(answer(200, &[], "")));
        assert_eq!(with_client(&network).binding(), "https://proxy.example/propstreet/ as bot");
        assert_eq!(with_token(&network).binding(), "https://proxy.example/propstreet/ as a personal access token");
    }
}
