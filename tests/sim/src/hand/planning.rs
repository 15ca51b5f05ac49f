//! What a plan is made of.

use std::collections::BTreeMap;

use stillpoint_drive::outside::{Fault, FaultKind, Planning};
use stillpoint_policy::{Attached, Instance, Inventory, Managed, Platform, Tag};

use super::{Hand, fault};

impl Planning for Hand {
    async fn see_vss_components(&self, _: &mut Inventory) -> Result<(), Fault> {
        Ok(())
    }

    async fn policy_json(&self, policy_id: &str) -> Result<String, Fault> {
        let ms = self.latency(30);
        self.call("policy", ms, |state, _| {
            let json = state.policies.get(policy_id).cloned();
            json.ok_or_else(|| fault(FaultKind::Refused, "ParameterNotFound"))
        })
        .await
    }

    async fn inventory(&self, _: &[Tag], _: Option<&[String]>) -> Result<Inventory, Fault> {
        let ms = self.latency(200);
        self.call("inventory", ms, |state, now_ms| {
            let instances = state.hosts.values().map(|host| {
                let device =
                    |index: usize| format!("/dev/sd{}", char::from(b'f' + index.to_le_bytes()[0]));
                let volumes = host.volumes.iter().enumerate().map(|(index, id)| Attached {
                    volume_id: id.clone(),
                    device: device(index),
                    size_gib: 8,
                    tags: BTreeMap::new(),
                });
                let managed = match (host.managed, host.online(now_ms)) {
                    (false, _) => Managed::NotManaged,
                    (true, true) => Managed::Online { agent_version: "3.3".to_owned() },
                    (true, false) => Managed::Lost { ping_status: "ConnectionLost".to_owned() },
                };
                Instance {
                    id: host.id.clone(),
                    state: if host.terminated { "terminated" } else { "running" }.to_owned(),
                    platform: Platform::Linux,
                    instance_type: "m7g.large".to_owned(),
                    launched_ms: None,
                    backed_up_ms: None,
                    vss_components: Default::default(),
                    tags: host.policy_tags.clone(),
                    root_device: "/dev/xvda".to_owned(),
                    volumes: volumes.collect(),
                    managed,
                }
            });
            Ok(Inventory { instances: instances.collect() })
        })
        .await
    }
}
