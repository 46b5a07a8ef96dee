//! What to type: an example or more of every command, below its help.

pub const TILTH: &str = "\
To begin with:
  tilth demo                       a network for once, with a picture rendered on it
  tilth up                         a network of one's own, in ~/.tilth; leave it running
  tilth job new map pi             a job file with a program of one's own to begin with
  tilth try pi/job.toml            on this machine alone
  tilth run pi/job.toml            on the network
Amounts are in GRAIN, times are written like 30s, 10m or 2h, sizes like 512MiB.";

pub const DEMO: &str = "\
Examples:
  tilth demo
  tilth demo --stay --out demo";

pub const UP: &str = "\
Examples:
  tilth up
  tilth up --providers 2 --auditors 7 --slots 2
  tilth up --rpc http://127.0.0.1:8545 --key funder.key --dir farm
  tilth up --rpc https://rpc.example.org --key funder.key --confirmations 5 --dir farm";

pub const RUN: &str = "\
Examples:
  tilth run job.toml --out picture.png
  tilth run job.toml photos/*.jpg
  tilth run job.toml --audited --replicas 2 --bind 192.0.2.7:0
  tilth run job.toml --audited --keep 7 --detach";

pub const QUOTE: &str = "\
Examples:
  tilth quote job.toml photos/*.jpg
  tilth quote job.toml --audited --replicas 2 --json
  tilth quote job.toml --audited --keep 7";

pub const TRY: &str = "\
Examples:
  tilth try job.toml --tasks 1
  tilth try job.toml photos/*.jpg --workers 4 --out pictures";

pub const JOB: &str = "\
Examples:
  tilth job new map-reduce pi
  tilth job ls
  tilth job show 7
  tilth job fetch 7 --out result.csv
  tilth job top-up 7 2.5
  tilth job cancel 7";

pub const PROVIDERS: &str = "\
Examples:
  tilth providers
  tilth providers garage";

pub const VERIFY: &str = "\
Examples:
  tilth verify 7
  tilth verify 7:2
  tilth verify 8 --gpu hardware   # a job with a GPU program
  tilth verify --receipt answer.json --model model.blob";

pub const ACCOUNT: &str = "\
Examples:
  tilth account new alice
  tilth account send client alice 5
  tilth account deposit alice 4.5
  tilth account show alice";

pub const PROVIDER: &str = "\
Examples:
  tilth provider garage --slots 2 --stake 500 --price-floor 0.0005
  tilth provider garage --set idle.only-when-idle=true
  tilth provider status garage
  tilth provider pause garage --for 2h
  tilth provider earnings garage --since 2026-11-01 --by job
  tilth provider install garage --dry-run
  tilth provider leave garage 100
What is not given is as the configuration file has it; `tilth provider config` prints all defaults.";

pub const AUDITOR: &str = "\
Examples:
  tilth auditor judy --stake 100
  tilth auditor status judy
  tilth auditor collect judy
  tilth auditor leave judy
What is not given is as the configuration file has it; `tilth auditor config` prints all defaults.";

pub const RELAY: &str = "\
Examples:
  tilth relay --listen 0.0.0.0:443 --name relay.example.org
  tilth relay config
What is not given is as the configuration file has it; `tilth relay config` prints all defaults.";

pub const GATEWAY: &str = "\
Examples:
  tilth gateway --listen 127.0.0.1:8788 --payer client
  tilth gateway key create kitchen --budget 5
  tilth gateway owed
  tilth gateway settle --above 0.01";

pub const CHAT: &str = "\
Examples:
  tilth chat
  tilth chat --max-tokens 64 --temperature 0 --receipts receipts What is a farm?";

pub const NODE: &str = "\
Examples:
  tilth node config
  tilth node --config node.toml
  tilth node --set rpc.listen=127.0.0.1:8546
  tilth node export blocks.rlp --first 1 --last 1000
  tilth node snapshot export state.snapshot";

pub const MODEL: &str = "\
Examples:
  tilth model import model.gguf
  tilth model ls";

pub const DOCTOR: &str = "\
Examples:
  tilth doctor
  tilth doctor --escape";

pub const BENCH: &str = "\
Examples:
  tilth bench
  tilth bench --order 1024 --rounds 4
  tilth bench --memory 512";

pub const CHALLENGE: &str = "\
Examples:
  tilth challenge garage
  tilth challenge garage --memory 512 --out transcript
  tilth challenge --verify transcript";
