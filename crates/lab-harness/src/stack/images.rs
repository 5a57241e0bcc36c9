//! Which images the docker backend uses: `docker/images.toml`, and nothing else.

use serde::Deserialize;
use testcontainers::GenericImage;

const IMAGES: &str = include_str!("../../../../docker/images.toml");

/// A pair of images, as the engine names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Images {
    /// Redis.
    pub redis: String,
    /// PostgreSQL.
    pub postgres: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ImagesToml {
    redis: Sources,
    postgres: Sources,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sources {
    official: String,
    stand_in: String,
}

impl Images {
    /// The official images, pinned by digest.
    pub fn official() -> Self {
        let file = parse();
        Self { redis: file.redis.official, postgres: file.postgres.official }
    }

    /// What `docker/local-images.sh` builds.
    pub fn stand_ins() -> Self {
        let file = parse();
        Self { redis: file.redis.stand_in, postgres: file.postgres.stand_in }
    }

    /// Both.
    pub fn each(&self) -> [&str; 2] {
        [&self.redis, &self.postgres]
    }
}

fn parse() -> ImagesToml {
    toml::from_str(IMAGES).expect("docker/images.toml is part of the program and tested")
}

/// The image as testcontainers names it: everything after the first colon is the tag, which may
/// carry a digest. No image here comes from a registry with a port.
pub(super) fn generic(image: &str) -> GenericImage {
    let (name, tag) = image.split_once(':').unwrap_or((image, "latest"));
    GenericImage::new(name, tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn official_images_are_pinned_by_digest() {
        for image in Images::official().each() {
            let (_, digest) = image.split_once("@sha256:").unwrap();
            assert_eq!(digest.len(), 64, "{image}");
            assert!(digest.bytes().all(|it| it.is_ascii_hexdigit()), "{image}");
        }
        let compose = include_str!("../../../../docker/compose.yaml");
        for image in Images::official().each() {
            assert!(compose.contains(image), "docker/compose.yaml uses another {image}");
        }
        assert!(Images::stand_ins().each().iter().all(|it| it.ends_with(":local")));
    }
}
