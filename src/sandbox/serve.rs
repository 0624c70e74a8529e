//! The four look-alikes on loopback sockets. Knows ports, not APIs.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::sandbox::upstream::Upstream;

/// The look-alikes being served; dropping it stops them.
#[derive(Debug)]
pub struct Served {
    /// Base URL of the Salesforce look-alike, without a trailing slash.
    pub salesforce: String,
    /// Base URL of the `HubSpot` look-alike.
    pub hubspot: String,
    /// Base URL of the Pipedrive look-alike.
    pub pipedrive: String,
    /// Base URL of the Propstreet look-alike.
    pub propstreet: String,
    stop: watch::Sender<bool>,
    servers: JoinSet<io::Result<()>>,
}

impl Served {
    /// Serves these routers, in the order of [`Upstream::ALL`], on 127.0.0.1, on `port_base` and the three ports after it, or on free ports.
    ///
    /// # Errors
    /// When a port cannot be bound.
    pub async fn start(routers: [Router; 4], port_base: Option<u16>) -> io::Result<Self> {
        let (stop, stopped) = watch::channel(false);
        let mut servers = JoinSet::new();
        let mut urls = Vec::new();
        for (router, offset) in routers.into_iter().zip(0..) {
            let port = match port_base {
                None => 0,
                Some(base) => base.checked_add(offset).ok_or(io::ErrorKind::InvalidInput)?,
            };
            let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
            urls.push(format!("http://{}", listener.local_addr()?));
            let mut stopped = stopped.clone();
            servers.spawn(async move {
                let signal = async move {
                    // An error means that the sender is gone, which is a stop as well.
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                axum::serve(listener, router).with_graceful_shutdown(signal).await
            });
        }
        let [salesforce, hubspot, pipedrive, propstreet] =
            <[String; 4]>::try_from(urls).map_err(|_| io::ErrorKind::Other)?;
        Ok(Self { salesforce, hubspot, pipedrive, propstreet, stop, servers })
    }

    /// The base URL of one look-alike.
    #[must_use]
    pub fn url(&self, upstream: Upstream) -> &str {
        match upstream {
            Upstream::Salesforce => &self.salesforce,
            Upstream::HubSpot => &self.hubspot,
            Upstream::Pipedrive => &self.pipedrive,
            Upstream::Propstreet => &self.propstreet,
        }
    }

    /// Serves until told to stop from outside: returns only when a server fails.
    ///
    /// # Errors
    /// The failure of the first server that ends.
    pub async fn wait(&mut self) -> io::Result<()> {
        match self.servers.join_next().await {
            Some(Ok(ended)) => ended,
            Some(Err(panicked)) => Err(io::Error::other(panicked)),
            None => Ok(()),
        }
    }

    /// Stops taking connections, lets answers under way finish and returns when all have.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.servers.join_next().await.is_some() {}
    }
}
