// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {T} from "./T.sol";
import {Trees} from "./Trees.sol";
import {AuditRules} from "../src/libraries/AuditRules.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev Seals bind the contract that computes them.
contract Sealer {
    function seal(uint64 job, uint32 seq, address who, bytes32 answer, bytes32 salt) external view returns (bytes32) {
        return AuditRules.seal(job, seq, who, answer, salt);
    }

    function opened(MerkleSum.Leaf calldata leaf, uint256 position, uint256 count, MerkleSum.Sibling[] calldata proof)
        external
        pure
        returns (bytes32, uint128, uint256)
    {
        return MerkleSum.opened(MerkleSum.leafHash(leaf), MerkleSum.leafTally(leaf), position, count, proof);
    }
}

/// @dev The rules of trust alone: what Rust computed is computed again here, and their properties are tried on any arguments.
contract AuditRulesTest is T {
    uint256 internal constant ONE = Parameters.ONE;

    string internal json;
    Sealer internal sealer = new Sealer();

    function setUp() public {
        json = vm.readFile("../vectors/trust.json");
    }

    function column(string memory table, string memory name) internal view returns (string[] memory) {
        return vm.parseJsonStringArray(json, string.concat(".", table, ".", name));
    }

    function hashes(string memory table, string memory name) internal view returns (bytes32[] memory) {
        return vm.parseJsonBytes32Array(json, string.concat(".", table, ".", name));
    }

    function num(string memory text) internal pure returns (uint256) {
        return vm.parseUint(text);
    }

    function parameter(string memory name) internal view returns (uint256) {
        return num(abi.decode(vm.parseJson(json, string.concat(".parameters.", name)), (string)));
    }

    // ---------------------------------------------------------------- the same as in Rust

    function test_parametersAreThoseOfRust() public view {
        eq(Parameters.ONE, parameter("one"), "one");
        eq(Parameters.FLOOR_RATE, parameter("floorRate"), "floor rate");
        eq(Parameters.HONEST_FIRST, parameter("honestFirst"), "what counts of an audit");
        eq(Parameters.HALF_RECORD_SMALL_VALUES, parameter("halfRecordSmallValues"), "half record");
        eq(Parameters.SAMPLES, parameter("samples"), "samples");
        eq(Parameters.LEAD, parameter("lead"), "lead");
        eq(Parameters.COMMITTEE, parameter("committee"), "committee");
        eq(Parameters.MIN_AUDITORS, parameter("minAuditors"), "auditors");
        uint256 slots = Parameters.SAMPLES * Parameters.SLOWNESS;
        eq(Parameters.COMMIT_TIME / slots, parameter("maxRangeTimeout"), "longest range timeout");
        string[] memory severities = column("parameters", "severities");
        uint256[5] memory mine = [
            Parameters.WRONG_RESULT,
            Parameters.NOT_OPENED,
            Parameters.WRONG_AUDIT,
            Parameters.NOT_REVEALED,
            Parameters.ABSENT
        ];
        eq(severities.length, mine.length, "faults");
        for (uint256 i = 0; i < mine.length; ++i) {
            eq(mine[i], num(severities[i]), "severity");
        }
    }

    function test_wordsAreThoseOfRust() public view {
        bytes32[] memory beacon = hashes("words", "beacon");
        bytes32[] memory seed = hashes("words", "seed");
        bytes32[] memory word = hashes("words", "word");
        string[] memory job = column("words", "job");
        string[] memory seq = column("words", "seq");
        string[] memory stage = column("words", "stage");
        string[] memory purpose = column("words", "purpose");
        string[] memory i = column("words", "i");
        ok(word.length >= 20, "there are vectors");
        for (uint256 n = 0; n < word.length; ++n) {
            bytes32 got = Draw.seedOf(beacon[n], uint64(num(job[n])), uint32(num(seq[n])), uint8(num(stage[n])));
            eq(got, seed[n], "seed");
            eq(bytes32(Draw.word(got, uint8(num(purpose[n])), uint32(num(i[n])))), word[n], "word");
        }
    }

    function test_picksAreThoseOfRust() public view {
        bytes32[] memory seed = hashes("picks", "seed");
        string[] memory i = column("picks", "i");
        string[] memory leaves = column("picks", "leaves");
        string[] memory units = column("picks", "units");
        string[] memory byUnits = column("picks", "byUnits");
        string[] memory value = column("picks", "value");
        ok(seed.length >= 20, "there are vectors");
        for (uint256 n = 0; n < seed.length; ++n) {
            (bool by, uint256 got) = Draw.pick(seed[n], uint32(num(i[n])), num(leaves[n]), num(units[n]));
            ok(by == (num(byUnits[n]) == 1), "by units");
            eq(got, num(value[n]), "value");
        }
    }

    /// @dev Every unit of a tree is answered by exactly the leaf that Rust descends to.
    function test_unitsLeadToTheLeavesOfRust() public view {
        string[] memory units = column("tree", "units");
        uint256 n = units.length;
        MerkleSum.Leaf[] memory leaves = new MerkleSum.Leaf[](n);
        for (uint32 i = 0; i < n; ++i) {
            leaves[i] = MerkleSum.Leaf(9, i, 1, 0, 0, uint64(num(units[i])));
        }
        (bytes32 root,) = MerkleSum.recomputeRoot(leaves);
        eq(root, vm.parseJsonBytes32(json, ".tree.root"), "root");
        string[] memory before = column("tree", "unitsBefore");
        string[] memory positionOf = column("tree", "positionOfUnit");
        for (uint256 at = 0; at < n; ++at) {
            (bytes32 got,, uint256 sum) = sealer.opened(leaves[at], at, n, Trees.prove(leaves, at));
            eq(got, root, "opening");
            eq(sum, num(before[at]), "units before");
            for (uint256 unit = 0; unit < positionOf.length; ++unit) {
                bool answers = Draw.isAnsweredBy(true, unit, at, sum, leaves[at].units);
                ok(answers == (num(positionOf[unit]) == at), "one leaf per unit");
            }
        }
    }

    function test_ratesAndDecisionsAreThoseOfRust() public view {
        string[] memory record = column("rates", "record");
        string[] memory half = column("rates", "half");
        string[] memory rate = column("rates", "rate");
        string[] memory decision = column("rates", "decision");
        bytes32[] memory seed = hashes("rates", "seed");
        for (uint256 n = 0; n < rate.length; ++n) {
            uint256 got = AuditRules.rate(num(record[n]), num(half[n]));
            eq(got, num(rate[n]), "rate");
            eq(uint256(AuditRules.decide(seed[n], got)), num(decision[n]), "decision");
        }
    }

    function test_arithmeticIsThatOfRust() public view {
        string[] memory wrong = column("detections", "wrong");
        string[] memory samples = column("detections", "samples");
        string[] memory found = column("detections", "detection");
        for (uint256 n = 0; n < found.length; ++n) {
            eq(AuditRules.detection(num(wrong[n]), num(samples[n])), num(found[n]), "detection");
        }
        string[] memory stake = column("exposures", "stake");
        string[] memory caught = column("exposures", "caught");
        string[] memory carried = column("exposures", "exposure");
        string[] memory severity = column("exposures", "severity");
        string[] memory penalty = column("exposures", "penalty");
        for (uint256 n = 0; n < carried.length; ++n) {
            eq(AuditRules.exposure(num(stake[n]), num(caught[n])), num(carried[n]), "exposure");
            eq(AuditRules.penalty(num(severity[n]), num(stake[n]), 500), num(penalty[n]), "penalty");
        }
    }

    function test_neededRatesAreThoseOfRust() public view {
        string[] memory stake = column("needs", "stake");
        string[] memory exposure = column("needs", "exposure");
        string[] memory rate = column("needs", "rate");
        ok(rate.length >= 20, "there are vectors");
        for (uint256 n = 0; n < rate.length; ++n) {
            eq(AuditRules.rateFor(num(stake[n]), num(exposure[n])), num(rate[n]), "rate");
        }
    }

    function test_verdictsAreThoseOfRust() public view {
        string[] memory votes = column("verdicts", "votes");
        string[] memory first = column("verdicts", "first");
        string[] memory last = column("verdicts", "last");
        string[] memory given = column("verdicts", "given");
        string[] memory what = column("verdicts", "what");
        string[] memory more = column("verdicts", "more");
        bytes32[] memory winner = hashes("verdicts", "winner");
        for (uint256 n = 0; n < votes.length; ++n) {
            bytes memory digits = bytes(votes[n]);
            bytes32[] memory list = new bytes32[](digits.length);
            for (uint256 i = 0; i < digits.length; ++i) {
                list[i] = bytes32(uint256(uint8(digits[i])) - 48);
            }
            AuditRules.Asked memory asked = AuditRules.Asked(num(first[n]), num(last[n]), num(given[n]));
            (AuditRules.Verdict got, bytes32 stands, uint256 drawn) = AuditRules.verdict(0, list, asked);
            eq(uint256(got), num(what[n]), string.concat("verdict on ", votes[n]));
            eq(stands, winner[n], "winner");
            eq(drawn, num(more[n]), "more");
        }
    }

    function test_sealsAreThoseOfRust() public {
        bytes32[] memory leaves = hashes("seal", "leafHashes");
        bytes32 answer = AuditRules.answer(leaves);
        eq(answer, vm.parseJsonBytes32(json, ".seal.answer"), "answer");
        address at = abi.decode(vm.parseJson(json, ".seal.contract"), (address));
        address who = abi.decode(vm.parseJson(json, ".seal.who"), (address));
        uint64 job = uint64(num(abi.decode(vm.parseJson(json, ".seal.job"), (string))));
        vm.chainId(31_337);
        vm.etch(at, address(sealer).code);
        bytes32 salt = vm.parseJsonBytes32(json, ".seal.salt");
        eq(Sealer(at).seal(job, 77, who, answer, salt), vm.parseJsonBytes32(json, ".seal.seal"), "seal");
        ok(sealer.seal(job, 77, who, answer, salt) != Sealer(at).seal(job, 77, who, answer, salt), "another contract");
    }

    // ---------------------------------------------------------------- properties

    function testFuzz_aLongerRecordNeverRaisesTheRate(uint96 record, uint96 more, uint96 half) public pure {
        uint256 short = AuditRules.rate(record, half);
        uint256 long = AuditRules.rate(uint256(record) + more, half);
        ok(long <= short && short <= ONE && long > Parameters.FLOOR_RATE, "between floor and one");
        eq(AuditRules.rate(0, half), ONE, "newcomers are always audited");
    }

    function testFuzz_cheatingWithAllThatAStakeCarriesGainsNothing(uint96 stake, uint32 caught) public pure {
        uint256 p = bound(caught, 0, ONE - 1);
        ok(AuditRules.exposure(stake, p) * (ONE - p) <= uint256(stake) * p, "gain x escape <= stake x caught");
    }

    function testFuzz_atTheRateForAnExposureTheStakeCarriesIt(uint96 stake, uint96 exposure) public pure {
        uint256 needed = AuditRules.rateFor(stake, exposure);
        ok(needed <= ONE, "a share");
        ok(AuditRules.exposure(stake, needed) >= exposure, "carried");
        if (needed > 1) ok(AuditRules.exposure(stake, needed - 1) <= exposure, "no more than needed");
    }

    function testFuzz_detectionGrowsWithSamples(uint32 wrong, uint16 samples) public pure {
        uint256 f = bound(wrong, 0, ONE);
        uint256 found = AuditRules.detection(f, samples);
        ok(found <= ONE && AuditRules.detection(f, uint256(samples) + 1) >= found, "grows");
        if (samples != 0) ok(AuditRules.detection(ONE, samples) == ONE, "all wrong is always found");
        ok(AuditRules.detection(f, 1) == f, "one sample");
    }

    function testFuzz_penaltiesKeepToFloorAndStake(uint96 stake, uint96 floor, uint32 severity) public pure {
        uint256 penalty = AuditRules.penalty(bound(severity, 0, ONE), stake, floor);
        ok(penalty <= stake && penalty >= (floor < stake ? floor : stake), "between");
    }

    /// @dev Any crowd of liars and absent people: the case ends within the committee, and without a lead nothing is overturned.
    function testFuzz_everyCaseEnds(uint256 answers, bool two) public pure {
        uint256 first = two ? 2 : 1;
        AuditRules.Asked memory asked = AuditRules.Asked(first, first, first);
        bytes32[] memory votes = new bytes32[](0);
        while (true) {
            for (uint256 i = 0; i < asked.last; ++i) {
                if (answers % 4 != 3) votes = append(votes, bytes32(answers % 4));
                answers = uint256(keccak256(abi.encode(answers)));
            }
            (AuditRules.Verdict what, bytes32 winner, uint256 more) = AuditRules.verdict(0, votes, asked);
            if (what == AuditRules.Verdict.More) {
                ok(more != 0, "more is more");
                (asked.last, asked.all) = (more, asked.all + more);
                ok(asked.all <= Parameters.COMMITTEE, "within the committee");
                continue;
            }
            if (what >= AuditRules.Verdict.Undecided) eq(asked.all, Parameters.COMMITTEE, "every vote was drawn");
            if (what == AuditRules.Verdict.Overturned) {
                ok(winner != 0, "another answer");
                ok(count(votes, winner) >= count(votes, 0) + Parameters.LEAD, "leads");
            }
            return;
        }
    }

    function append(bytes32[] memory list, bytes32 last) internal pure returns (bytes32[] memory longer) {
        longer = new bytes32[](list.length + 1);
        for (uint256 i = 0; i < list.length; ++i) {
            longer[i] = list[i];
        }
        longer[list.length] = last;
    }

    function count(bytes32[] memory votes, bytes32 answer) internal pure returns (uint256 n) {
        for (uint256 i = 0; i < votes.length; ++i) {
            if (votes[i] == answer) ++n;
        }
    }
}
