//! Bad weather by seed: what networks and servers do to honest requests, drawn anew for each round.

use std::time::Duration;

use propsync::sandbox::Sandbox;
use propsync::sandbox::faults::{Fault, Faults, Rule};

/// New weather over all four.
pub fn storm(sandbox: &Sandbox, rng: &mut fastrand::Rng) {
    clear(sandbox);
    for faults in drawers(sandbox) {
        for _ in 0..rng.usize(0..4) {
            let rule = Rule::new(fault(rng)).probability([0.02, 0.1, 0.3][rng.usize(0..3)]);
            faults.add(rule);
        }
    }
    let status = |code| Rule::new(Fault::Status { code, retry_after: None });
    match rng.u8(0..16) {
        // One side is down for good, until the weather changes.
        0 | 1 => drawers(sandbox)[rng.usize(0..4)].add(status(503)),
        // Propstreet answers every list and fails every write, or forbids it.
        2 => sandbox.propstreet.faults().add(status(500).on(http::Method::POST).path("/network/")),
        3 => sandbox.propstreet.faults().add(status(403).on(http::Method::POST).path("/network/")),
        // Everyone's tokens end at once.
        4 | 5 => {
            sandbox.propstreet.expire_tokens();
            sandbox.salesforce.expire_tokens();
        }
        _ => {}
    }
}

/// Fair weather.
pub fn clear(sandbox: &Sandbox) {
    drawers(sandbox).iter().for_each(|faults| faults.clear());
}

fn drawers(sandbox: &Sandbox) -> [&Faults; 4] {
    [sandbox.salesforce.faults(), sandbox.hubspot.faults(), sandbox.pipedrive.faults(), sandbox.propstreet.faults()]
}

fn fault(rng: &mut fastrand::Rng) -> Fault {
    match rng.u8(0..11) {
        0 => Fault::Status { code: 429, retry_after: Some(rng.u64(1..20)) },
        1 => Fault::Status { code: 429, retry_after: None },
        2 => Fault::Status { code: [500, 502, 503, 504][rng.usize(0..4)], retry_after: None },
        3 => Fault::Status { code: 503, retry_after: Some(rng.u64(1..20)) },
        4 => Fault::Html(502),
        5 => Fault::LostBefore,
        6 => Fault::LostAfter,
        7 => Fault::Late(Duration::from_secs(rng.u64(1..90))),
        8 => Fault::CommitLate(Duration::from_secs(rng.u64(1..90))),
        9 => Fault::Garbage,
        _ => Fault::Truncated,
    }
}
