//! Whole passes through the public surface: the real engine, adapters, clients and ledger file against the look-alikes.

mod scenarios;
mod simulation;
mod support;
