//! Behaviour, told as stories: each name says what the program promises.

mod answers;
mod backfill;
mod blame;
mod daemon;
mod departures;
mod guards;
mod hubspot;
mod hubspot_day;
mod hubspot_org;
mod hubspot_reading;
mod identity;
mod merges;
mod outages;
mod passes;
mod pipedrive_day;
mod pipedrive_limits;
mod pipedrive_merges;
mod pipedrive_org;
mod pipedrive_reading;
mod restarts;
mod salesforce;
mod salesforce_org;
mod salesforce_reading;
mod sweeps;
mod takeover;
mod write_back;
