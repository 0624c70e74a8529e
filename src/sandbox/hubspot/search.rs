//! Searches: matched by the index as it stands, shown as the records are.
//! It must not know paths, tokens or rates.

use std::ops::RangeInclusive;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};

use crate::sandbox::hubspot::answers::Refusal;
use crate::sandbox::hubspot::filters::Search;
use crate::sandbox::hubspot::properties::Object;
use crate::sandbox::hubspot::records::Shape;
use crate::sandbox::hubspot::state::Levers;
use crate::sandbox::hubspot::store::Store;
use crate::sandbox::table::Row;

/// Answers a search.
pub fn search<T: Object>(
    levers: &Levers,
    store: &Store<T>,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Response, Refusal> {
    let search = Search::<T>::parse(body, &store.definitions)?;
    let limit = search.limit.min(levers.page_cap);
    let end = search.offset + limit;
    let (total, page) = matches(&search, store, limit);
    let shape = Shape::new(store, &search.properties, &[]);
    // What was archived since the index looked is counted and not shown.
    let shown = page.into_iter().filter_map(|key| store.live(key, now));
    let results: Vec<Json> = shown.map(|row| shape.show(row)).collect();
    let mut body = json!({"total": total, "results": results});
    if end < total {
        body["paging"] = json!({"next": {"after": end.to_string()}});
    }
    Ok(axum::Json(body).into_response())
}

/// How many entries match, and the keys of one page of them.
fn matches<T: Object>(search: &Search<T>, store: &Store<T>, limit: usize) -> (usize, Vec<u64>) {
    let (stamps, keys) = (stamps(search), keys(search));
    if search.is_window() {
        return store.index.page(&stamps, &keys, search.offset, limit);
    }
    let matching = |entry: &&Arc<Row<T>>| search.matches(entry);
    let matches: Vec<_> = if stamps.is_empty() || keys.is_empty() {
        Vec::new()
    } else if search.stamps() == (None, None) {
        store.index.keyed(keys).filter(matching).collect()
    } else {
        store.index.stamped((*stamps.start(), 0)..=(*stamps.end(), u64::MAX)).filter(matching).collect()
    };
    let page = sorted(search, &matches, search.offset + limit);
    (matches.len(), page.into_iter().skip(search.offset).collect())
}

fn stamps<T: Object>(search: &Search<T>) -> RangeInclusive<DateTime<Utc>> {
    let millis = |bound: Option<i128>| DateTime::from_timestamp_millis(i64::try_from(bound?).ok()?);
    let (low, high) = search.stamps();
    millis(low).unwrap_or(DateTime::<Utc>::MIN_UTC)..=millis(high).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn keys<T: Object>(search: &Search<T>) -> RangeInclusive<u64> {
    let key = |bound: i128| u64::try_from(bound.max(0)).unwrap_or(u64::MAX);
    let (low, high) = search.keys();
    low.map_or(0, key)..=high.map_or(u64::MAX, key)
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum SortKey {
    Number(i128),
    Text(String),
}

/// The keys of the first `end` matches in the order asked for; only those are sorted.
fn sorted<T: Object>(search: &Search<T>, matches: &[&Arc<Row<T>>], end: usize) -> Vec<u64> {
    let (property, down) = search.sort.map_or((None, false), |(property, down)| (Some(property), down));
    let place = |row: &&Arc<Row<T>>| {
        let place = match property {
            None => SortKey::Number(row.key.into()),
            Some(property) if property.name == "hs_object_id" => SortKey::Number(row.key.into()),
            Some(property) if property.name == T::MODIFIED => {
                SortKey::Number(row.stamp.map_or(0, |stamp| stamp.timestamp_millis()).into())
            }
            Some(property) => SortKey::Text(property.get(row).unwrap_or_default().to_lowercase()),
        };
        (place, row.key)
    };
    let mut places: Vec<(SortKey, u64)> = matches.iter().map(place).collect();
    let order = |left: &(SortKey, u64), right: &(SortKey, u64)| {
        if down { right.0.cmp(&left.0).then(left.1.cmp(&right.1)) } else { left.cmp(right) }
    };
    if end < places.len() {
        places.select_nth_unstable_by(end, order);
        places.truncate(end);
    }
    places.sort_unstable_by(order);
    places.into_iter().map(|(_, key)| key).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sandbox::hubspot::bench::{at, employed, get, ids, portal, post, search, window};
    use crate::sandbox::people::Person;

    #[tokio::test(start_paused = true)]
    async fn a_keyset_walk_passes_the_cap_that_stops_an_offset() {
        let hubspot = portal();
        for _ in 0..10_050 {
            hubspot.add_at(&Person::default(), at(-5));
        }
        let mut seen: Vec<String> = Vec::new();
        loop {
            let last = seen.last().map_or("0", String::as_str);
            let (_, body) = search(&hubspot, &window(-5, 0, last)).await;
            assert_eq!(body["total"], 10_050 - seen.len());
            let page = ids(&body);
            if page.is_empty() {
                break;
            }
            seen.extend(page.into_iter().map(str::to_owned));
        }
        assert_eq!(seen, hubspot.ids());
        let mut body = window(-5, 0, "0");
        body["after"] = "9800".into();
        let (status, page) = search(&hubspot, &body).await;
        assert_eq!((status, &page["paging"]["next"]["after"]), (200, &json!("10000")));
        body["after"] = "10000".into();
        assert_eq!(search(&hubspot, &body).await.0, 400);
    }

    #[tokio::test(start_paused = true)]
    async fn the_short_cut_for_windows_finds_what_a_full_walk_finds() {
        let hubspot = portal();
        let ids: Vec<String> = (0..60).map(|row| hubspot.add_at(&Person::default(), at(row * 7 % 20 - 30))).collect();
        let mut rng = fastrand::Rng::with_seed(3);
        let mut found = 0;
        for _ in 0..200 {
            let operator = |rng: &mut fastrand::Rng, all: [&'static str; 2]| all[rng.usize(..2)];
            let millis = |second| at(second).timestamp_millis().to_string();
            let mut filters = json!([
                {"propertyName": "lastmodifieddate", "operator": operator(&mut rng, ["GT", "GTE"]), "value": millis(rng.i64(-32..-8))},
                {"propertyName": "lastmodifieddate", "operator": operator(&mut rng, ["LT", "LTE"]), "value": millis(rng.i64(-32..-8))},
                {"propertyName": "hs_object_id", "operator": operator(&mut rng, ["GT", "LTE"]), "value": ids[rng.usize(..60)]},
            ]);
            let ask = async |filters: &Json, after: usize| {
                search(&hubspot, &json!({"filterGroups": [{"filters": filters}], "limit": 7, "after": after})).await.1
            };
            let after = rng.usize(..9);
            let short = ask(&filters, after).await;
            let anything = json!({"propertyName": "createdate", "operator": "HAS_PROPERTY"});
            filters.as_array_mut().unwrap().push(anything);
            assert_eq!(short, ask(&filters, after).await, "{filters}");
            found += short["total"].as_u64().unwrap();
        }
        assert!(found > 500, "the windows hold something");
    }

    #[tokio::test(start_paused = true)]
    async fn search_trails_and_shows_rows_as_they_are_now() {
        let hubspot = portal();
        let id = hubspot.add_at(&employed(), at(-100));
        hubspot.set_search_lag(Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(hubspot.edit(&id, |person| person.title = Some("New".to_owned())));
        let (_, old) = search(&hubspot, &window(-100, 0, "0")).await;
        assert_eq!(
            old["results"][0]["properties"]["lastmodifieddate"], "2026-11-02T09:00:10.000Z",
            "out of the window"
        );
        assert_eq!(search(&hubspot, &window(5, 100, "0")).await.1["total"], 0);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(search(&hubspot, &window(5, 100, "0")).await.1["total"], 1);
        let late = hubspot.add_visible_at(&employed(), at(20), at(60));
        assert_eq!(get(&hubspot, &format!("/crm/objects/2026-09/contacts/{late}")).await.0, 404);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(get(&hubspot, &format!("/crm/objects/2026-09/contacts/{late}")).await.0, 200);
        assert_eq!(ids(&search(&hubspot, &window(15, 30, "0")).await.1), [&late]);
    }

    #[tokio::test(start_paused = true)]
    async fn searches_are_refused_where_the_documentation_says() {
        let hubspot = portal();
        hubspot.add(&employed());
        let filter =
            |name: &str, value: &str| json!({"filters": [{"propertyName": name, "operator": "GTE", "value": value}]});
        for (body, status) in [
            (json!({"limit": 201}), 400),
            (json!({"limit": 200, "properties": ["x".repeat(3_000)]}), 400),
            (json!({"sorts": ["email", "createdate"]}), 400),
            (json!({"sorts": ["-createdate"]}), 200),
            (filter("lastmodifieddate", "2020-11-15"), 400),
            (filter("lastmodifieddate", "0"), 500),
            (filter("lastmodifieddate", "2020-11-15T00:00:00Z"), 200),
            (filter("nonsense", "1"), 400),
            (filter("hs_object_id", "abc"), 400),
        ] {
            assert_eq!(search(&hubspot, &body).await.0, status, "{body}");
        }
        let (status, deaf) = search(&hubspot, &filter("hs_lastmodifieddate", "1000")).await;
        assert_eq!((status, &deaf["total"]), (200, &json!(0)), "silently nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn every_property_is_matched_as_it_was_indexed() {
        let hubspot = portal();
        let id = hubspot.add(&Person { label: Some("lead".to_owned()), ..employed() });
        let stage = |stage: &str| {
            let filter = json!({"propertyName": "lifecyclestage", "operator": "EQ", "value": stage});
            json!({"filterGroups": [{"filters": [filter]}], "properties": ["lifecyclestage"]})
        };
        assert_eq!(search(&hubspot, &stage("lead")).await.1["total"], 1);
        hubspot.set_search_lag(Duration::from_secs(30));
        assert!(hubspot.set(&id, "lifecyclestage", "customer"));
        let (_, body) = search(&hubspot, &stage("lead")).await;
        assert_eq!(body["results"][0]["properties"]["lifecyclestage"], "customer", "breaks the filter it was found by");
        assert_eq!(search(&hubspot, &stage("customer")).await.1["total"], 0);
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(search(&hubspot, &stage("customer")).await.1["total"], 1);
    }

    #[tokio::test(start_paused = true)]
    async fn lags_drawn_by_seed_show_each_change_in_its_own_time() {
        let shown = async |seconds: u64| {
            let hubspot = portal();
            hubspot.set_random_search_lag(Duration::from_secs(600));
            for _ in 0..100 {
                hubspot.add(&employed());
            }
            tokio::time::advance(Duration::from_secs(seconds)).await;
            let (_, contacts) = search(&hubspot, &json!({"limit": 200})).await;
            let (_, companies) = post(&hubspot, "/crm/v3/objects/companies/search", &json!({})).await;
            (contacts["total"].as_u64().unwrap(), companies["total"].as_u64().unwrap())
        };
        let half = shown(300).await;
        assert!((20..80).contains(&half.0), "{half:?}");
        assert_eq!((shown(300).await, shown(600).await), (half, (100, 1)));
    }
}
