//! The event loop: waits for whatever comes first and hands it on. It decides nothing.

use tokio::sync::{broadcast, mpsc};

use crate::config::HostConfig;
use crate::control_plane::{self, ControlPlane, Inputs};
use crate::error::DriverError;
use crate::host::{HostEvent, Order};
use crate::limits;
use crate::suspension::Alarm;

/// Everything that a running host waits for, and who it is handed to.
pub(crate) struct EventLoop {
    control: ControlPlane,
    inputs: Inputs,
    orders: mpsc::Receiver<Order>,
}

impl EventLoop {
    /// Opens what a host needs. An error leaves nothing behind.
    pub(crate) async fn start(
        config: HostConfig,
        orders: mpsc::Receiver<Order>,
        events: broadcast::Sender<HostEvent>,
    ) -> Result<Self, DriverError> {
        let (control, inputs) = control_plane::start(config, events).await?;
        Ok(Self { control, inputs, orders })
    }

    /// Runs until the host is shut down, or the packet path fails.
    pub(crate) async fn run(self) -> Result<(), DriverError> {
        let Self { mut control, mut inputs, mut orders } = self;
        let outcome = turn(&mut control, &mut inputs, &mut orders).await;
        // Nobody takes from these any more: who writes to them must not wait for it.
        drop((inputs, orders));
        match &outcome {
            Ok(()) => control.stop().await,
            Err(_) => control.fail(),
        }
        outcome
    }
}

async fn turn(
    control: &mut ControlPlane,
    inputs: &mut Inputs,
    orders: &mut mpsc::Receiver<Order>,
) -> Result<(), DriverError> {
    let mut datagrams = Vec::with_capacity(limits::DATAGRAMS_AT_ONCE);
    let alarm = Alarm::set();
    control.begin();
    while !control.is_done() {
        let idle_for = control.idle_for();
        tokio::select! {
            1.. = inputs.path.datagrams.recv_many(&mut datagrams, limits::DATAGRAMS_AT_ONCE) => {
                control.on_datagrams(&mut datagrams);
            }
            news = inputs.path.news.recv() => control.on_news(news)?,
            Some(report) = inputs.path.reports.recv() => control.on_traffic(report),
            Some(reply) = inputs.replies.recv() => control.on_reply(reply),
            Some((id, result)) = inputs.results.recv() => control.on_result(id, result),
            Some(changed) = inputs.changed.recv() => control.on_changed(changed),
            Some(news) = inputs.links.recv() => control.on_links(news),
            Some(power) = inputs.power.recv() => control.on_power(power),
            Some(order) = orders.recv() => control.on_order(order),
            () = alarm.rings() => control.on_time(),
            () = sleep(idle_for) => control.on_time(),
        }
    }
    Ok(())
}

async fn sleep(span: Option<std::time::Duration>) {
    match span {
        Some(span) => tokio::time::sleep(span).await,
        None => std::future::pending().await,
    }
}
