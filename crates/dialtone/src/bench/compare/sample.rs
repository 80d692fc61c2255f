//! Takes one measurement of one row from one server, started for it.

use super::super::idle::Idle;
use super::super::load::Load;
use super::super::mqtt::Mqtt;
use super::super::process::{Process, machine_cpu_time};
use super::super::progress::Progress;
use super::super::scenario::Scenario;
use super::super::stop::Stop;
use super::super::target::Transport;
use super::args::{Options, Times};
use super::network::{Link, Network};
use super::rows::{Figure, LONG, Row, Work};
use super::server::{Server, Setup, free_port};
use anyhow::{Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};

/// A started server and one with new connections get so long to finish what they do beside.
const SETTLE: Duration = Duration::from_millis(300);
/// How long a server may take to know what the clients of another one want, and how often it is asked.
const JOIN_TIMEOUT: Duration = Duration::from_secs(120);
const JOIN_POLL: Duration = Duration::from_millis(20);
/// Payload where subscriptions are measured.
const SIZE: usize = 128;

/// Figures of one run.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    figures: Vec<(Figure, f64)>,
}

impl Sample {
    /// The value of a figure, if this row has it.
    pub fn value(&self, figure: Figure) -> Option<f64> {
        self.figures.iter().find(|(known, _)| *known == figure).map(|(_, value)| *value)
    }

    fn add(&mut self, figure: Figure, value: f64) {
        self.figures.push((figure, value));
    }
}

/// Starts `binary`, applies the row's load and returns what it cost.
pub fn take(row: &Row, binary: &Path, options: &Options) -> Result<Sample> {
    let tls = matches!(row.work, Work::LoadOverTls(_));
    let setup = match row.work {
        Work::Imported(_) => Setup::TwoAccounts,
        Work::Signed(_) => Setup::Operator,
        Work::Loading(setup) => setup,
        Work::Mqtt(_) | Work::IdleMqtt { .. } => Setup::Mqtt,
        Work::Stored { synced, .. } => Setup::Streams { synced },
        _ => options.setup,
    };
    let transport = match row.work {
        Work::LoadOverWebSocket { compression, .. } => Transport::WebSocket { compression },
        Work::IdleWebSocket { .. } => Transport::WebSocket { compression: false },
        _ => Transport::Stream,
    };
    let mut sample = Sample::default();
    if let Work::Across { link, scenario, long } = row.work {
        let times = options.times.longer(if long { LONG } else { 1 });
        across(&Network::start(binary, setup, link)?, &scenario(), times, &mut sample)?;
        return Ok(sample);
    }
    if let Work::Joining { subscriptions } = row.work {
        join(binary, setup, options.scaled(subscriptions), &mut sample)?;
        return Ok(sample);
    }
    let server = Server::start(binary, setup, tls, transport, "")?;
    match &row.work {
        Work::Load(scenario)
        | Work::LongLoad(scenario)
        | Work::LoadOverTls(scenario)
        | Work::LoadOverWebSocket { scenario, .. }
        | Work::Imported(scenario)
        | Work::Signed(scenario)
        | Work::Mqtt(scenario)
        | Work::Stored { scenario, .. } => {
            let mut load = scenario().open(&server.target)?;
            let long = matches!(row.work, Work::LongLoad(_));
            let times = options.times.longer(if long { LONG } else { 1 });
            measured(&[server.process], load.as_mut(), times, &mut sample)?;
            sample.add(Figure::Memory, resident(&server)?);
        }
        Work::Loading(_) => {
            sample.add(Figure::StartTime, server.process.cpu_time_of_process()?.as_nanos() as f64);
            std::thread::sleep(SETTLE);
            sample.add(Figure::StartMemory, resident(&server)?);
        }
        Work::Idle { connections } | Work::IdleWebSocket { connections } => {
            let open = |connections| Idle::open(&server.target, connections);
            idle(&server, options.scaled(*connections), open, &mut sample)?
        }
        Work::IdleMqtt { connections } => {
            let open = |connections| Mqtt::Idle { connections }.open(&server.target);
            idle(&server, options.scaled(*connections), open, &mut sample)?
        }
        Work::Subscriptions { few, many } => {
            subscriptions(&server, options.scaled(*few), options.scaled(*many), options.times, &mut sample)?;
        }
        Work::Across { .. } | Work::Joining { .. } => {}
    }
    Ok(sample)
}

/// The load's publishers are at one end and its subscribers at the other; the CPU time is that of all servers.
fn across(network: &Network, scenario: &Scenario, times: Times, sample: &mut Sample) -> Result<()> {
    let mut load = scenario.open(&network.target)?;
    network.wait_for_interest()?;
    measured(&network.processes(), load.as_mut(), times, sample)?;
    Ok(())
}

/// Runs an open load, adds the servers' nanoseconds a message and how fast the messages were, and returns the former.
fn measured(processes: &[Process], load: &mut dyn Load, times: Times, sample: &mut Sample) -> Result<f64> {
    let silent = &mut Progress::silent();
    load.run(Stop::After(times.warmup), silent)?;
    let generator = Process { pid: std::process::id() };
    let involved = || {
        let servers = processes.iter().map(Process::cpu_time_of_process).sum::<Result<Duration>>()?;
        anyhow::Ok(servers + generator.cpu_time_of_process()?)
    };
    let of_servers = || processes.iter().map(Process::cpu_time).sum::<Result<Duration>>();
    let (machine_before, involved_before) = (machine_cpu_time()?, involved()?);
    let before = of_servers()?;
    let carried = load.run(Stop::After(times.duration), silent)?;
    let spent = of_servers()?.saturating_sub(before);
    let (machine_after, involved_after) = (machine_cpu_time()?, involved()?);
    let others = machine_after
        .saturating_sub(machine_before)
        .saturating_sub(involved_after.saturating_sub(involved_before));

    let cpu = spent.as_nanos() as f64 / carried.messages.max(1) as f64;
    sample.add(Figure::Cpu, cpu);
    sample.add(Figure::Rate, carried.rate());
    sample.add(Figure::OtherLoad, others.as_secs_f64() / carried.elapsed.as_secs_f64().max(1e-9));
    if let Some(latency) = &carried.latency {
        for (figure, quantile) in [(Figure::P50, 0.5), (Figure::P99, 0.99), (Figure::P999, 0.999)] {
            sample.add(figure, latency.quantile(quantile).as_nanos() as f64);
        }
    }
    Ok(cpu)
}

/// Subscribes at a server, starts another one that has a route to it, and adds how long it took from there until the other knows all
/// of them, and the memory of both: the most that it had at the first, of what it had before.
fn join(binary: &Path, setup: Setup, subscriptions: usize, sample: &mut Sample) -> Result<()> {
    let (seed, port) = (free_port()?, free_port()?);
    let first = Server::start(binary, setup, false, Transport::Stream, &Link::Route.config(seed, None))?;
    let _spread = Scenario::Spread { subscriptions, size: SIZE }.open(&first.target)?;
    std::thread::sleep(SETTLE);
    let before = resident(&first)?;
    let started = Instant::now();
    let second =
        Server::start(binary, setup, false, Transport::Stream, &Link::Route.config(port, Some(seed)))?;
    while second.subscriptions()? < subscriptions {
        ensure!(started.elapsed() < JOIN_TIMEOUT, "it knows {} subscriptions", second.subscriptions()?);
        std::thread::sleep(JOIN_POLL);
    }
    sample.add(Figure::Joined, started.elapsed().as_nanos() as f64);
    let grown = first.process.memory()?.peak as f64 - before;
    sample.add(Figure::Memory, resident(&second)? + grown.max(0.0));
    Ok(())
}

fn resident(server: &Server) -> Result<f64> {
    Ok(server.process.memory()?.resident as f64)
}

fn idle<T>(
    server: &Server,
    connections: usize,
    open: impl FnOnce(usize) -> Result<T>,
    sample: &mut Sample,
) -> Result<()> {
    std::thread::sleep(SETTLE);
    let start = resident(server)?;
    let _idle = open(connections)?;
    std::thread::sleep(SETTLE);
    let memory = resident(server)?;
    sample.add(Figure::StartMemory, start);
    sample.add(Figure::Memory, memory);
    sample.add(Figure::MemoryEach, (memory - start).max(0.0) / connections.max(1) as f64);
    Ok(())
}

fn subscriptions(server: &Server, few: usize, many: usize, times: Times, sample: &mut Sample) -> Result<()> {
    let mut spread = Scenario::Spread { subscriptions: few, size: SIZE }.open(&server.target)?;
    let cpu_few = measured(&[server.process], spread.as_mut(), times, &mut Sample::default())?;
    drop(spread);
    let start = resident(server)?;
    let mut spread = Scenario::Spread { subscriptions: many, size: SIZE }.open(&server.target)?;
    std::thread::sleep(SETTLE);
    let memory = resident(server)?;
    let cpu = measured(&[server.process], spread.as_mut(), times, sample)?;
    sample.add(Figure::CpuFew, cpu_few);
    sample.add(Figure::Growth, cpu / cpu_few.max(1.0));
    sample.add(Figure::Memory, memory);
    sample.add(Figure::MemoryEach, (memory - start).max(0.0) / many.max(1) as f64);
    Ok(())
}
