// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {T} from "./T.sol";
import {AuditDesk} from "../src/AuditDesk.sol";
import {AuditLayout} from "../src/AuditLayout.sol";
import {Auditors} from "../src/Auditors.sol";
import {Audits} from "../src/Audits.sol";
import {Bench} from "../src/Bench.sol";
import {Holders} from "../src/Holders.sol";
import {JobBook} from "../src/JobBook.sol";
import {JobDesk} from "../src/JobDesk.sol";
import {JobLayout} from "../src/JobLayout.sol";
import {JobView} from "../src/JobView.sol";
import {Ledger} from "../src/Ledger.sol";
import {Registry} from "../src/Registry.sol";
import {Replicas} from "../src/Replicas.sol";
import {SoloRandomness} from "../src/SoloRandomness.sol";
import {Spots} from "../src/Spots.sol";
import {Tabs} from "../src/Tabs.sol";
import {Waiting} from "../src/Waiting.sol";
import {WGrain} from "../src/WGrain.sol";
import {IBench} from "../src/interfaces/IBench.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IJudge} from "../src/interfaces/IJudge.sol";
import {ILedger} from "../src/interfaces/ILedger.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev All contracts as they are deployed, and short ways to do what clients and providers do.
abstract contract Network is T {
    uint256 internal constant SMALL = 100 ether;
    uint128 internal constant CAP = type(uint96).max;
    uint16 internal constant FEE_BPS = 100;
    uint128 internal constant MIN_STAKE = 10 ether;
    address internal constant TREASURY = address(0x7EA5);
    address internal constant CLIENT = address(0xC11E);

    WGrain internal token;
    Ledger internal ledger;
    Registry internal registry;
    JobBook internal book;
    JobView internal view_;
    JobDesk internal desk;
    SoloRandomness internal randomness;
    Auditors internal auditors;
    Audits internal audits;
    AuditDesk internal auditDesk;
    Bench internal bench;
    Waiting internal waiting;
    Replicas internal replicas;
    Holders internal holders;
    Spots internal spots;
    Tabs internal tabs;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        uint64 nonce = vm.getNonce(address(this));
        address[16] memory at;
        for (uint256 i = 0; i < at.length; ++i) {
            at[i] = vm.computeCreateAddress(address(this), nonce + i);
        }
        token = WGrain(payable(deployed("WGrain", "")));
        ILedger.Grant[] memory grants = new ILedger.Grant[](6);
        (grants[0], grants[1]) = (ILedger.Grant(at[2], CAP), ILedger.Grant(at[3], CAP));
        (grants[2], grants[3]) = (ILedger.Grant(at[7], CAP), ILedger.Grant(at[8], CAP));
        (grants[4], grants[5]) = (ILedger.Grant(at[13], CAP), ILedger.Grant(at[15], CAP));
        ledger = Ledger(deployed("Ledger", abi.encode(token, grants)));
        registry = Registry(deployed("Registry", abi.encode(ledger, at[3], at[10])));
        JobLayout.Deployment memory d =
            JobLayout.Deployment(ledger, registry, IJudge(at[10]), at[8], TREASURY, FEE_BPS, small());
        book = JobBook(deployed("JobBook", abi.encode(d, at[5])));
        view_ = JobView(deployed("JobView", abi.encode(book)));
        desk = JobDesk(deployed("JobDesk", abi.encode(d)));
        randomness = SoloRandomness(deployed("SoloRandomness", ""));
        auditors = Auditors(deployed("Auditors", abi.encode(ledger, at[8], minStake())));
        AuditLayout.Deployment memory a =
            AuditLayout.Deployment(IBench(at[10]), book, registry, auditors, ledger, randomness, small());
        audits = Audits(deployed("Audits", abi.encode(a, at[9])));
        auditDesk = AuditDesk(deployed("AuditDesk", abi.encode(a)));
        bench = Bench(deployed("Bench", abi.encode(book, registry, audits, at[11], at[12], at[13])));
        waiting = Waiting(deployed("Waiting", abi.encode(bench, book, registry, audits, at[12])));
        replicas = Replicas(deployed("Replicas", abi.encode(bench, book, registry, waiting, randomness, audits)));
        Holders.Deployment memory h =
            Holders.Deployment(bench, book, registry, auditors, audits, ledger, randomness, at[14], small());
        holders = Holders(deployed("Holders", abi.encode(h)));
        spots = Spots(deployed("Spots", abi.encode(holders, auditors, randomness)));
        tabs = Tabs(deployed("Tabs", abi.encode(ledger, registry, TREASURY, FEE_BPS)));
        ok(address(token) == at[0] && address(ledger) == at[1], "addresses are known before deployment");
        ok(address(registry) == at[2] && address(book) == at[3], "addresses are known before deployment");
        ok(address(desk) == at[5] && address(auditors) == at[7], "addresses are known before deployment");
        ok(address(audits) == at[8] && address(auditDesk) == at[9], "addresses are known before deployment");
        ok(address(bench) == at[10] && address(waiting) == at[11], "addresses are known before deployment");
        ok(address(replicas) == at[12] && address(holders) == at[13], "addresses are known before deployment");
        ok(address(spots) == at[14] && address(tabs) == at[15], "addresses are known before deployment");
        fund(CLIENT, 1_000_000 ether);
    }

    /// @dev A ledger that lets what this contract creates next lock so much.
    function ledgerOfNext(uint128 cap) internal returns (ILedger) {
        ILedger.Grant[] memory grants = new ILedger.Grant[](1);
        grants[0] = ILedger.Grant(vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1), cap);
        return ILedger(created("Ledger", abi.encode(token, grants)));
    }

    function deployed(string memory name, bytes memory args) private returns (address at) {
        at = created(name, args);
        ok(at != address(0), string.concat(name, " is deployed"));
    }

    /// @dev The small value of the deployment.
    function small() internal pure virtual returns (uint256) {
        return SMALL;
    }

    /// @dev Least stake of an auditor.
    function minStake() internal pure virtual returns (uint128) {
        return MIN_STAKE;
    }

    /// @dev Gives an account free money in the ledger.
    function fund(address who, uint128 amount) internal {
        vm.deal(who, amount);
        vm.prank(who);
        ledger.depositNative{value: amount}(who);
    }

    function ownerOf(uint256 n) internal pure returns (address) {
        return address(uint160(0xA000 + n));
    }

    function nodeKey(uint256 n) internal pure returns (uint256) {
        return 0xB000 + n;
    }

    function nodeOf(uint256 n) internal pure returns (address) {
        return vm.addr(nodeKey(n));
    }

    /// @dev Node key n agrees to work for an owner, for an hour.
    function consent(uint256 n, address owner) internal view returns (IRegistry.Consent memory) {
        return consent(n, owner, block.timestamp + 1 hours);
    }

    /// @dev The digest is put together here a second time, by the words of EIP-712.
    function consent(uint256 n, address owner, uint256 deadline) internal view returns (IRegistry.Consent memory) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("tilth Registry"),
                keccak256("1"),
                block.chainid,
                address(registry)
            )
        );
        bytes32 message =
            keccak256(abi.encode(keccak256("NodeConsent(address owner,uint256 deadline)"), owner, deadline));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(nodeKey(n), keccak256(abi.encodePacked(hex"1901", domain, message)));
        return IRegistry.Consent(deadline, abi.encodePacked(r, s, v));
    }

    function noConsent() internal pure returns (IRegistry.Consent memory none) {}

    function attributes() internal pure returns (IRegistry.Attributes memory) {
        return IRegistry.Attributes({classBits: 3, memoryMib: 8192, vramMib: 4096, region: "eu"});
    }

    /// @dev Registers provider n with its own owner and node key.
    function provider(uint256 n, uint16 slots, uint128 stake) internal returns (address owner) {
        owner = ownerOf(n);
        if (stake != 0) fund(owner, stake);
        IRegistry.Consent memory agreed = consent(n, owner);
        vm.prank(owner);
        registry.register(nodeOf(n), slots, attributes(), bytes32(n + 1), hex"01", stake, agreed);
    }

    function terms() internal view returns (IJobBook.Terms memory t) {
        t.specHash = keccak256("spec");
        t.taskCount = 1000;
        t.unitCap = 100;
        t.price = 1e12;
        t.window = 600;
        t.rangeTimeout = 300;
        t.targetSeconds = 60;
        t.parallelism = 4;
        t.firstRange = 8;
        t.deadline = uint40(block.timestamp + 30 days);
        t.contact = hex"c0ffee";
    }

    function openJob(IJobBook.Terms memory t, uint128 funds) internal returns (uint64) {
        vm.prank(CLIENT);
        return book.open(t, funds);
    }

    function claim(uint64 jobId, uint256 n, uint32 want) internal returns (uint32 seq, uint32 from, uint32 count) {
        vm.prank(nodeOf(n));
        return book.claim(jobId, want, 0);
    }

    function submit(uint64 jobId, uint256 n, uint32 seq, uint64 units, uint32 failures) internal {
        vm.prank(nodeOf(n));
        book.submit(jobId, seq, keccak256(abi.encode(jobId, seq)), units, failures, bytes32(uint256(1)));
    }

    function acknowledge(uint64 jobId, uint32 seq) internal {
        vm.prank(CLIENT);
        book.acknowledge(jobId, one(seq));
    }

    function one(uint32 seq) internal pure returns (uint32[] memory seqs) {
        seqs = new uint32[](1);
        seqs[0] = seq;
    }

    function free(address who) internal view returns (uint256) {
        return ledger.account(who).free;
    }

    function locked(address who) internal view returns (uint256) {
        return ledger.account(who).locked;
    }

    function refused(uint64 jobId, IJobBook.Refusal why) internal {
        vm.expectRevert(abi.encodeWithSelector(IJobBook.ClaimRefused.selector, jobId, why));
    }

    /// @dev Leaves of a range whose tasks write their index as 4 bytes.
    function leavesOf(uint64 jobId, uint32 from, uint32 count, uint64 units)
        internal
        pure
        returns (MerkleSum.Leaf[] memory leaves)
    {
        leaves = new MerkleSum.Leaf[](count);
        for (uint32 i = 0; i < count; ++i) {
            leaves[i] = MerkleSum.Leaf({
                job: jobId, index: from + i, status: 0, output: bytes32(bytes4(from + i)), size: 4, units: units
            });
        }
    }
}
