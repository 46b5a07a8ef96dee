//! Which of a provider's devices is asked, about which class, and for how much work.

use tilth_protocol::challenge::{
    Class, Task,
    class::{self, Measure},
    message::{DeviceOffer, GPU, MAX_WORK_MS},
};

use super::{Announced, ChallengeError, SAMPLES, Wish};

/// What a provider announces on chain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claims {
    /// Class bits, of all its devices together.
    pub(super) class_bits: u64,
    /// Graphics memory, MiB.
    pub(super) vram_mib: u32,
}

impl From<&Announced> for Claims {
    fn from(of: &Announced) -> Self {
        Self { class_bits: of.class_bits, vram_mib: of.vram_mib }
    }
}

/// What is asked of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The device.
    pub(super) device: DeviceOffer,
    /// The strongest class that the answer can show; none if the device has none, or the task is too small.
    pub(super) class: Option<Class>,
    /// The work.
    pub(super) task: Task,
}

/// Chooses. Without a name the class is the strongest that the provider announces on chain, and the device the one that
/// is said to have it: what is announced must be shown by some device. A device that is asked by its name answers for
/// what is said of it, as far as that is announced, and not for the provider's other devices. Graphics memory is a GPU's: its
/// processor may have more.
pub(super) fn choose(
    devices: Vec<DeviceOffer>,
    name: Option<&str>,
    claims: Claims,
    wish: Wish,
) -> Result<Choice, ChallengeError> {
    let Claims { class_bits: announced, vram_mib } = claims;
    let name = match wish {
        Wish::Vram if vram_mib == 0 => return Err(ChallengeError::NoVram),
        Wish::Vram => Some(name.unwrap_or(GPU)),
        _ => name,
    };
    let measure = match wish {
        Wish::Strength | Wish::Exactly(Task::Products(_)) => Measure::Int8,
        Wish::Vram | Wish::Exactly(Task::Memory(_)) => Measure::Fill,
    };
    let names: Vec<_> = devices.iter().map(|device| device.name.clone()).collect();
    let named = devices.into_iter().filter(|device| name.is_none_or(|name| device.name == name));
    // Only classes of this measure are compared, by their rate; of equals the first.
    let rate = |device: &DeviceOffer| {
        class::strongest(measure, device.class_bits & announced).map_or(0, |class| class.per_second)
    };
    let strongest = named.reduce(|best, next| if rate(&next) > rate(&best) { next } else { best });
    let device = strongest
        .ok_or_else(|| ChallengeError::Stranger(format!("of such a device; it has {names:?}")))?;
    let held = if name.is_some() { announced & device.class_bits } else { announced };
    let class = class::strongest(measure, held);
    let task = match wish {
        Wish::Strength => Task::Products(class.unwrap_or(class::CLASSES[0]).products(SAMPLES)),
        Wish::Vram => Task::Memory(class::vram(vram_mib)),
        Wish::Exactly(task) => task,
    };
    // What fills a large memory in its class may take longer than a provider works; it is shown without a class then.
    let asked =
        |class: &Class| wish != Wish::Vram || class.deadline(&task).work_ms() <= MAX_WORK_MS;
    let shown = class::CLASSES.iter().rfind(|class| {
        let held = class.measure == measure && held & class.bit != 0;
        held && class.is_shown_by(&task) && asked(class)
    });
    Ok(Choice { device, class: shown.copied(), task })
}

#[cfg(test)]
mod tests {
    use tilth_protocol::challenge::{
        ProductTask,
        class::{bit_of, memory},
    };

    use super::*;

    fn bits(names: &[&str]) -> u64 {
        names.iter().fold(0, |bits, name| bits | bit_of(name).unwrap())
    }

    fn offer(name: &str, classes: &[&str]) -> DeviceOffer {
        let (name, model) = (name.to_owned(), String::new());
        DeviceOffer { name, model, class_bits: bits(classes), memory_mib: 2_048 }
    }

    /// The device and class that are asked.
    fn chosen(
        devices: &[DeviceOffer],
        name: Option<&str>,
        announced: u64,
        wish: Wish,
    ) -> (String, &'static str) {
        let claims = Claims { class_bits: announced, vram_mib: 0 };
        let choice = choose(devices.to_vec(), name, claims, wish).unwrap();
        (choice.device.name, choice.class.map_or("none", |class| class.name))
    }

    #[test]
    fn a_device_answers_for_its_own_class_in_what_is_asked() {
        // The processor's mask is the larger number, its products are the weaker ones.
        let cpu = offer("cpu", &["int8-1g", "int8-10g", "fill-100m"]);
        let gpu = offer("gpu", &["int8-1g", "int8-10g", "int8-100g", "int8-1t"]);
        let announced = cpu.class_bits | gpu.class_bits | 3;
        assert!(cpu.class_bits > gpu.class_bits);
        let fill = Wish::Exactly(Task::Memory(memory(256)));
        for devices in [[cpu.clone(), gpu.clone()], [gpu, cpu]] {
            let chosen = |name, wish| chosen(&devices, name, announced, wish);
            assert_eq!(chosen(None, Wish::Strength), ("gpu".into(), "int8-1t"));
            assert_eq!(chosen(Some("gpu"), Wish::Strength), ("gpu".into(), "int8-1t"));
            assert_eq!(chosen(Some("cpu"), Wish::Strength), ("cpu".into(), "int8-10g"));
            assert_eq!(chosen(None, fill), ("cpu".into(), "fill-100m"));
            assert_eq!(chosen(Some("gpu"), fill), ("gpu".into(), "none"));
        }
    }

    #[test]
    fn what_is_announced_must_be_shown_by_some_device() {
        let modest = offer("cpu", &["int8-1g"]);
        let boast = bits(&["int8-1g", "int8-1t"]);
        assert_eq!(chosen(&[modest], None, boast, Wish::Strength), ("cpu".into(), "int8-1t"));
        // What the provider says of a device and not on chain binds nobody.
        let other = offer("cpu", &["int8-1t"]);
        let announced = bits(&["int8-1g"]);
        assert_eq!(chosen(&[other], None, announced, Wish::Strength), ("cpu".into(), "int8-1g"));
        let claims = Claims { class_bits: announced, vram_mib: 0 };
        assert!(choose(Vec::new(), None, claims, Wish::Strength).is_err());
    }

    #[test]
    fn graphics_memory_is_shown_by_the_gpu_in_full() {
        let cpu = offer("cpu", &["fill-100m"]);
        let gpu = offer("gpu", &["fill-100m", "fill-1g"]);
        let class_bits = cpu.class_bits | gpu.class_bits;
        let claims = |vram_mib| Claims { class_bits, vram_mib };
        let devices = [cpu.clone(), gpu];
        let ask = |vram_mib| choose(devices.to_vec(), None, claims(vram_mib), Wish::Vram);
        let large = ask(8_192).unwrap();
        assert_eq!((large.device.name.as_str(), large.class.unwrap().name), ("gpu", "fill-1g"));
        assert_eq!(large.task, Task::Memory(class::vram(8_192)));
        // In its class it would take half a minute, and nobody works so long.
        assert_eq!(ask(24_564).unwrap().class, None);
        // So little is filled at once whatever the class.
        assert_eq!(ask(16).unwrap().class, None);
        assert!(matches!(ask(0), Err(ChallengeError::NoVram)));
        let only = choose(vec![cpu], None, claims(16), Wish::Vram);
        assert!(matches!(only, Err(ChallengeError::Stranger(_))), "{only:?}");
    }

    #[test]
    fn a_task_that_is_too_small_for_a_class_shows_a_weaker_one_or_none() {
        let cpu = offer("cpu", &["int8-1g", "int8-10g"]);
        let announced = cpu.class_bits;
        let task = |order, rounds| {
            Wish::Exactly(Task::Products(ProductTask { order, rounds, samples: 8 }))
        };
        let chosen = |wish| chosen(std::slice::from_ref(&cpu), None, announced, wish).1;
        assert_eq!(chosen(task(1_024, 12)), "int8-10g");
        assert_eq!(chosen(task(1_024, 1)), "int8-1g");
        assert_eq!(chosen(task(256, 3)), "none");
    }
}
