//! The calls an org counts, and what it says about them, which is not always what it counted.

/// What `Sforce-Limit-Info` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitInfo {
    /// What was counted.
    #[default]
    Exact,
    /// Figures that lag behind, and now and then go back.
    Lagging,
    /// Further segments behind the first.
    Segments,
    /// It is not there.
    Absent,
}

/// The calls of a day.
#[derive(Clone, Debug)]
pub struct Usage {
    /// Calls counted today.
    pub used: u64,
    /// The org's daily allowance.
    pub allowance: u64,
    /// What the header says.
    pub says: LimitInfo,
}

impl Default for Usage {
    fn default() -> Self {
        Self { used: 0, allowance: 1_000_000, says: LimitInfo::default() }
    }
}

impl Usage {
    /// Counts a call; whether the org still serves it.
    pub fn count(&mut self) -> bool {
        self.used += 1;
        self.used <= self.allowance
    }

    /// `api-usage=18/5000`, and what else the header holds.
    pub fn header(&self) -> Option<String> {
        /// How far recorded figures lay behind the calls made.
        const BEHIND: [u64; 5] = [0, 9, 10, 3, 8];
        let Self { used, allowance, says } = self;
        match says {
            LimitInfo::Exact => Some(format!("api-usage={used}/{allowance}")),
            LimitInfo::Lagging => {
                let behind = BEHIND[usize::try_from(used % 5).unwrap_or(0)];
                Some(format!("api-usage={}/{allowance}", used.saturating_sub(behind)))
            }
            LimitInfo::Segments => Some(format!(
                "api-usage={used}/{allowance}; per-app-api-usage=17/250(appName=propsync); api-bursts=1/750"
            )),
            LimitInfo::Absent => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::sandbox::salesforce::bench::Org;

    #[tokio::test(start_paused = true)]
    async fn the_header_is_exact_or_late_or_longer_or_missing() {
        let org = Org::new().await;
        let figures = async || {
            let mut figures = Vec::new();
            for _ in 0..5 {
                let (_, headers, _) = org.call(Method::GET, "/services/data/v66.0/limits", &[], "").await;
                let text = headers.get("sforce-limit-info").map(|value| value.to_str().unwrap().to_owned());
                figures.push(text.unwrap_or_default());
            }
            figures
        };
        org.salesforce.set_usage(99, 5000);
        let exact = [
            "api-usage=100/5000",
            "api-usage=101/5000",
            "api-usage=102/5000",
            "api-usage=103/5000",
            "api-usage=104/5000",
        ];
        assert_eq!(figures().await, exact);
        org.salesforce.set_limit_info(LimitInfo::Lagging);
        let late = figures().await;
        assert!(!late.is_sorted(), "{late:?}");
        org.salesforce.set_limit_info(LimitInfo::Segments);
        assert!(figures().await[0].ends_with("/5000; per-app-api-usage=17/250(appName=propsync); api-bursts=1/750"));
        org.salesforce.set_limit_info(LimitInfo::Absent);
        assert_eq!(figures().await, [""; 5]);
        org.salesforce.set_usage(5000, 5000);
        let (status, body) = org.get("/services/data/v66.0/limits").await;
        assert_eq!((status, &body[0]["errorCode"]), (403, &serde_json::json!("REQUEST_LIMIT_EXCEEDED")));
    }
}
