//! The Docker engine: whether it answers, which images it has, and what dead runs left in it.

use std::{collections::HashMap, fs, path::Path, time::Duration};

use testcontainers::{
    bollard::{
        self, Docker,
        errors::Error::DockerResponseServerError,
        query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder},
    },
    core::client::docker_client_instance,
    runners::AsyncRunner,
};
use tokio::time::{Instant, sleep, timeout};

use super::images::{self, Images};
use crate::process::{ChildSpec, ProcessIdentity, Spawner};

/// Longest wait for the engine to answer at all.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest check whether a registry has the images.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time for both images to arrive.
const PULL_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest time for the stand-ins to be built.
const BUILD_TIMEOUT: Duration = Duration::from_secs(600);
/// Longest time for a container to end and be removed.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(20);
/// Label that names the run.
const RUN_LABEL: &str = "outage-lab.run";
/// Label that names the lab's process, so that a dead run can be told from a living one.
const OWNER_LABEL: &str = "outage-lab.owner";

/// Connects to the engine of this machine. **Errors**: why it cannot be used, in one line.
pub async fn connect() -> Result<Docker, String> {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    if !host.is_empty() && !host.starts_with("unix://") {
        return Err(format!("DOCKER_HOST={host} is not an engine of this machine's own"));
    }
    let docker = docker_client_instance().await.map_err(|error| error.to_string())?;
    match timeout(ENGINE_TIMEOUT, docker.ping()).await {
        Ok(Ok(_)) => Ok(docker),
        Ok(Err(error)) => Err(format!("no Docker engine answers: {error}")),
        Err(_) => Err(format!("the Docker engine gave no answer within {ENGINE_TIMEOUT:?}")),
    }
}

/// The engine's version, for people.
pub async fn version(docker: &Docker) -> String {
    let answer = timeout(ENGINE_TIMEOUT, docker.version()).await.ok().and_then(Result::ok);
    answer.and_then(|it| it.version).unwrap_or_else(|| "unknown".to_owned())
}

/// Whether the engine has both images.
pub async fn has(docker: &Docker, images: &Images) -> bool {
    for image in images.each() {
        if docker.inspect_image(image).await.is_err() {
            return false;
        }
    }
    true
}

/// The image and its id, for the manifest.
pub(super) async fn describe_image(docker: &Docker, image: &str) -> String {
    let id = docker.inspect_image(image).await.ok().and_then(|it| it.id);
    let stand_in = if Images::stand_ins().each().contains(&image) { " (stand-in)" } else { "" };
    format!("{image}{stand_in} {}", id.unwrap_or_default()).trim_end().to_owned()
}

/// Whether a registry has both images, asked through the engine. **Errors**: why not, after 5 s
/// at the most.
pub async fn can_pull(docker: &Docker, images: &Images) -> Result<(), String> {
    let ask = async {
        for image in images.each() {
            let found = docker.inspect_registry_image(image, None).await;
            found.map_err(|error| one_line(&error.to_string()))?;
        }
        Ok(())
    };
    let silent = format!("the registry gave no answer within {REGISTRY_TIMEOUT:?}");
    timeout(REGISTRY_TIMEOUT, ask).await.unwrap_or(Err(silent))
}

/// Pulls what is missing. **Errors**: why not.
pub(super) async fn pull(docker: &Docker, images: &Images) -> Result<(), String> {
    let pull = async {
        for image in images.each() {
            if docker.inspect_image(image).await.is_err() {
                tracing::info!(image, "pulling");
                let pulled = images::generic(image).pull_image().await;
                drop(pulled.map_err(|error| one_line(&error.to_string()))?);
            }
        }
        Ok(())
    };
    let late = format!("the images did not arrive within {PULL_TIMEOUT:?}");
    timeout(PULL_TIMEOUT, pull).await.unwrap_or(Err(late))
}

/// Runs `docker/local-images.sh`, which is part of this program. **Errors**: its last line.
pub(super) async fn build_stand_ins(folder: &Path, spawner: &Spawner) -> Result<(), String> {
    let script = write_build_files(folder).map_err(|error| error.to_string())?;
    let log = folder.join("local-images.log");
    tracing::info!(log = %log.display(), "building stand-ins for the images, about two minutes");
    let spec = ChildSpec {
        name: "local-images".into(),
        args: vec![script.into()],
        ..ChildSpec::logged(Path::new("sh"), &log)
    };
    let child = spawner.spawn(spec).map_err(|error| error.to_string())?;
    let status = timeout(BUILD_TIMEOUT, child.wait()).await;
    if matches!(&status, Ok(Ok(status)) if status.success()) {
        return Ok(());
    }
    let text = fs::read_to_string(&log).unwrap_or_default();
    let last = text.lines().rfind(|it| !it.trim().is_empty()).unwrap_or("no output");
    Err(last.trim_start_matches("local-images: ").to_owned())
}

fn write_build_files(folder: &Path) -> std::io::Result<std::path::PathBuf> {
    for (path, text) in [
        ("local-images.sh", include_str!("../../../../docker/local-images.sh")),
        ("redis/Dockerfile", include_str!("../../../../docker/redis/Dockerfile")),
        ("postgres/Dockerfile", include_str!("../../../../docker/postgres/Dockerfile")),
    ] {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        fs::write(path, text)?;
    }
    Ok(folder.join("local-images.sh"))
}

/// Labels of every container of the run.
pub(super) fn labels(run_id: &str) -> [(String, String); 2] {
    let owner = ProcessIdentity::this_process();
    [
        (RUN_LABEL.to_owned(), run_id.to_owned()),
        (OWNER_LABEL.to_owned(), format!("{}:{}", owner.pid, owner.start_ticks)),
    ]
}

/// What became of the containers of dead runs.
#[derive(Debug, Default)]
pub struct Reaped {
    /// Names of those that are gone.
    pub removed: Vec<String>,
    /// Those that stay behind, each with its reason.
    pub failures: Vec<String>,
}

/// Removes the containers of runs whose process is gone. Returns when they are gone, also when
/// another lab is just removing them. An engine that does not answer has nothing that this could
/// remove.
pub async fn reap_dead_runs() -> Reaped {
    let mut reaped = Reaped::default();
    let Ok(docker) = connect().await else { return reaped };
    let filters = HashMap::from([("label", vec![OWNER_LABEL])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let found = match docker.list_containers(Some(options)).await {
        Ok(found) => found,
        Err(error) => {
            let reason = one_line(&error.to_string());
            reaped.failures.push(format!("containers of dead runs: {reason}"));
            return reaped;
        }
    };
    for container in found {
        let owner = container.labels.as_ref().and_then(|it| it.get(OWNER_LABEL));
        let (Some(id), Some(owner)) = (container.id, owner) else { continue };
        if owner_of(owner).is_some_and(ProcessIdentity::is_alive) {
            continue;
        }
        let name = container.names.unwrap_or_default().join(" ");
        match remove(&docker, &id).await {
            Ok(()) => reaped.removed.push(name),
            Err(error) => {
                let reason = one_line(&error.to_string());
                reaped.failures.push(format!("container {name}: {reason}"));
            }
        }
    }
    reaped
}

/// Ends and removes a container. An engine refuses while another request removes the same
/// container, whose server may then still run: so it is asked again until it does not know the
/// container. **Errors**: what the engine said last, after [`REMOVAL_TIMEOUT`].
async fn remove(docker: &Docker, id: &str) -> Result<(), bollard::errors::Error> {
    let give_up_at = Instant::now() + REMOVAL_TIMEOUT;
    loop {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match docker.remove_container(id, Some(options)).await {
            Ok(()) | Err(DockerResponseServerError { status_code: 404, .. }) => return Ok(()),
            Err(error) if give_up_at <= Instant::now() => return Err(error),
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
}

fn owner_of(label: &str) -> Option<ProcessIdentity> {
    let (pid, start_ticks) = label.split_once(':')?;
    Some(ProcessIdentity { pid: pid.parse().ok()?, start_ticks: start_ticks.parse().ok()? })
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_whose_container_it_is() {
        let [_, (_, label)] = labels("7");
        assert_eq!(owner_of(&label), Some(ProcessIdentity::this_process()));
        assert_eq!(owner_of("nobody"), None);
    }
}
