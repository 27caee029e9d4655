//! Which agent adds up what all of them tell: the one that holds a `Lease`, as client-go's leader election does it
//! (`tools/leaderelection/leaderelection.go`). Clocks are never compared: a lease is over when nobody renewed it for as long
//! as this process has watched.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};

/// The object's name.
pub const LEASE: &str = "wardline-agents";
/// Who did not renew it for that long has lost it.
const HELD_FOR: Duration = Duration::from_mins(1);
/// How often its holder renews it.
const RENEW_EVERY: Duration = Duration::from_secs(15);
/// How often everybody else looks: 5,000 agents make 170 small requests a second of it.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// One agent's part in it.
pub struct Election {
    leases: Api<Lease>,
    identity: String,
    /// What the lease said last, and since when it has said that.
    seen: Option<(Option<LeaseSpec>, Instant)>,
    held_until: Option<Instant>,
    next: Instant,
}

impl Election {
    /// `identity` is this agent's alone.
    pub fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self {
            leases: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            seen: None,
            held_until: None,
            next: Instant::now(),
        }
    }

    /// Whether this agent holds it now; asks the API server now and then.
    ///
    /// # Errors
    /// What the API server says. Whoever held it goes on until its time is over.
    pub async fn is_holder(&mut self) -> Result<bool, kube::Error> {
        let now = Instant::now();
        if now >= self.next {
            // Not all at once, after the API server was away.
            self.next = now + LOOK_EVERY + jitter(&self.identity, LOOK_EVERY / 3);
            if self.try_to_hold().await? {
                // As of before it was asked: others count from later.
                self.held_until = Some(now + HELD_FOR);
                self.next = now + RENEW_EVERY;
            } else {
                self.held_until = None;
            }
        }
        Ok(self.holds())
    }

    /// Whether this agent holds it, as far as it knows.
    pub fn holds(&self) -> bool {
        self.held_until.is_some_and(|until| Instant::now() < until)
    }

    /// Gives it up, so that another one need not wait.
    ///
    /// # Errors
    /// What the API server says.
    pub async fn give_up(&mut self) -> Result<(), kube::Error> {
        if self.held_until.take().is_none() {
            return Ok(());
        }
        let Some(mut lease) = self.leases.get_opt(LEASE).await? else {
            return Ok(());
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() == Some(self.identity.as_str()) {
            spec.holder_identity = Some(String::new());
            self.leases.replace(LEASE, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }

    async fn try_to_hold(&mut self) -> Result<bool, kube::Error> {
        let found = self.leases.get_opt(LEASE).await?;
        let (spec, metadata) = found.map_or((None, None), |lease| (lease.spec, Some(lease.metadata)));
        let now = Instant::now();
        let since = match &self.seen {
            Some((seen, since)) if *seen == spec => *since,
            _ => now,
        };
        self.seen = Some((spec.clone(), since));
        let holder = spec
            .as_ref()
            .and_then(|spec| spec.holder_identity.clone())
            .unwrap_or_default();
        let is_free = holder.is_empty() || holder == self.identity || now.duration_since(since) > HELD_FOR;
        if !is_free {
            return Ok(false);
        }
        let lease = self.renewed(spec, &holder, metadata.clone());
        let written = match metadata {
            Some(_) => self.leases.replace(LEASE, &PostParams::default(), &lease).await,
            None => self.leases.create(&PostParams::default(), &lease).await,
        };
        match written {
            Ok(_) => Ok(true),
            // Somebody else was quicker.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The lease with this agent's name. Its resource version, if it has one, lets only the first of two writers through.
    fn renewed(&self, spec: Option<LeaseSpec>, holder: &str, metadata: Option<ObjectMeta>) -> Lease {
        let now = Some(MicroTime(Timestamp::now()));
        let before = spec.unwrap_or_default();
        let is_new = holder != self.identity;
        Lease {
            metadata: metadata.unwrap_or_else(|| ObjectMeta {
                name: Some(LEASE.to_owned()),
                ..ObjectMeta::default()
            }),
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(HELD_FOR.as_secs()).ok(),
                acquire_time: if is_new { now.clone() } else { before.acquire_time },
                lease_transitions: Some(before.lease_transitions.unwrap_or(0).saturating_add(is_new.into())),
                renew_time: now,
                ..LeaseSpec::default()
            }),
        }
    }
}

/// Part of this time, by a name.
pub fn jitter(name: &str, most: Duration) -> Duration {
    let sum = name
        .bytes()
        .fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    most.mul_f64(f64::from(sum % 1000) / 1000.0)
}
