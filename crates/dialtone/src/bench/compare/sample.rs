//! Takes one measurement of one row from one server, started for it.

use super::super::idle::Idle;
use super::super::load::{Carried, Load, Stop};
use super::super::process::Process;
use super::super::progress::Progress;
use super::super::scenario::Scenario;
use super::args::Options;
use super::rows::{Figure, Row, Work};
use super::server::Server;
use anyhow::Result;
use std::path::Path;
use std::time::Duration;

/// A started server and one with new connections get so long to finish what they do beside.
const SETTLE: Duration = Duration::from_millis(300);
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
    let server = Server::start(binary, options.setup, tls)?;
    let mut sample = Sample::default();
    match &row.work {
        Work::Load(scenario) | Work::LoadOverTls(scenario) => {
            let (carried, cpu) = load(&server, &scenario(), options)?;
            sample.add(Figure::Cpu, cpu);
            sample.add(Figure::Rate, carried.rate());
            if let Some(latency) = &carried.latency {
                for (figure, quantile) in [(Figure::P50, 0.5), (Figure::P99, 0.99), (Figure::P999, 0.999)] {
                    sample.add(figure, latency.quantile(quantile).as_nanos() as f64);
                }
            }
            sample.add(Figure::Memory, resident(&server)?);
        }
        Work::Idle { connections } => idle(&server, options.scaled(*connections), &mut sample)?,
        Work::Subscriptions { few, many } => {
            subscriptions(&server, options.scaled(*few), options.scaled(*many), options, &mut sample)?;
        }
    }
    Ok(sample)
}

/// Runs a scenario and returns what it carried and the server's nanoseconds a message.
fn load(server: &Server, scenario: &Scenario, options: &Options) -> Result<(Carried, f64)> {
    let mut load = scenario.open(&server.target)?;
    measured(server.process, load.as_mut(), options)
}

fn measured(process: Process, load: &mut dyn Load, options: &Options) -> Result<(Carried, f64)> {
    let silent = &mut Progress::silent();
    load.run(Stop::After(options.warmup), silent)?;
    let before = process.cpu_time()?;
    let carried = load.run(Stop::After(options.duration), silent)?;
    let spent = process.cpu_time()?.saturating_sub(before);
    let cpu = spent.as_nanos() as f64 / carried.messages.max(1) as f64;
    Ok((carried, cpu))
}

fn resident(server: &Server) -> Result<f64> {
    Ok(server.process.memory()?.resident as f64)
}

fn idle(server: &Server, connections: usize, sample: &mut Sample) -> Result<()> {
    std::thread::sleep(SETTLE);
    let start = resident(server)?;
    let _idle = Idle::open(&server.target, connections)?;
    std::thread::sleep(SETTLE);
    let memory = resident(server)?;
    sample.add(Figure::StartMemory, start);
    sample.add(Figure::Memory, memory);
    sample.add(Figure::MemoryEach, (memory - start).max(0.0) / connections.max(1) as f64);
    Ok(())
}

fn subscriptions(
    server: &Server,
    few: usize,
    many: usize,
    options: &Options,
    sample: &mut Sample,
) -> Result<()> {
    let (carried, cpu_few) = load(server, &Scenario::Spread { subscriptions: few, size: SIZE }, options)?;
    drop(carried);
    let start = resident(server)?;
    let mut spread = Scenario::Spread { subscriptions: many, size: SIZE }.open(&server.target)?;
    std::thread::sleep(SETTLE);
    let memory = resident(server)?;
    let (carried, cpu) = measured(server.process, spread.as_mut(), options)?;
    sample.add(Figure::Cpu, cpu);
    sample.add(Figure::CpuFew, cpu_few);
    sample.add(Figure::Growth, cpu / cpu_few.max(1.0));
    sample.add(Figure::Rate, carried.rate());
    sample.add(Figure::Memory, memory);
    sample.add(Figure::MemoryEach, (memory - start).max(0.0) / many.max(1) as f64);
    Ok(())
}
