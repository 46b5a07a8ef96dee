// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReplicaWorld} from "./ReplicaWorld.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev A primary that hands in honest ranges first, and forges beside its friend when all others are at work for those. Three are
/// honest, the friend has a quarter of the bonds.
contract WaitingExhaustedTest is ReplicaWorld {
    uint96 internal constant STAKE = 2_000 ether;
    uint256 internal constant FRIEND = 5;
    uint256 internal constant FORGED = 16;

    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 5_000 ether);
        someAuditors(7, 100 ether);
        id = replicated(5);
        mates(id, FRIEND, STAKE);
    }

    /// @dev Honest ranges, until every honest mate has so many to do. Those of the friend, and those without a mate, are over at once.
    function usedUp(uint256 duties) internal {
        for (uint256 i = 0; i < 80 && !allHave(duties); ++i) {
            uint32 seq = sealedRange(id, false);
            if (mateDrawn(id, seq) == FRIEND) {
                commits(id, seq, false);
                reveals(id, seq, FRIEND, false);
                reveals(id, seq, 1, false);
            } else if (pair(id, seq).state == IReplicas.State.Alone) {
                reveals(id, seq, 1, false);
            }
        }
        ok(allHave(duties), "all of them are at work");
        ok(entry(id, FRIEND).busy == 0, "but for the friend");
    }

    function allHave(uint256 duties) internal view returns (bool) {
        for (uint256 n = 2; n < FRIEND; ++n) {
            if (entry(id, n).busy < duties) return false;
        }
        return true;
    }

    function test_whoIsAtWorkIsDrawnAllTheSame() public {
        usedUp(1);
        (uint256 total, uint256 n) = waiting.line(id, NOW);
        ok(total == 4 * STAKE && n == 4, "the whole line");
        uint256 matched = 0;
        for (uint256 i = 0; i < FORGED; ++i) {
            uint32 seq = sealedRange(id, true);
            uint256 mate = mateDrawn(id, seq);
            ok(mate != 0, "somebody");
            commits(id, seq, mate == FRIEND);
            reveals(id, seq, 1, true);
            reveals(id, seq, mate, mate == FRIEND);
            if (mate != FRIEND) {
                is_(id, seq, IReplicas.State.Walking);
                continue;
            }
            ended(id, seq, IReplicas.Outcome.Matched);
            ++matched;
        }
        // A quarter is 4; half of them come in one of fifty such tests with other seeds.
        ok(matched < FORGED / 2, "as often as the friend's part of the bonds says");
    }

    /// @dev Who has all that it may have is no reason to ask the next one: then the friend would be that.
    function test_whereAllHonestMatesHaveAllTheyMayThePrimaryIsAlone() public {
        usedUp(Parameters.MATE_DUTIES);
        uint256 withFriend = 0;
        for (uint256 i = 0; i < FORGED; ++i) {
            uint32 seq = sealedRange(id, true);
            uint256 mate = mateDrawn(id, seq);
            if (mate == 0) {
                is_(id, seq, IReplicas.State.Alone);
                reveals(id, seq, 1, true);
                ended(id, seq, IReplicas.Outcome.Alone);
                eq(replicas.mateOf(id, seq), 0, "nobody is paid besides");
                continue;
            }
            eq(mate, FRIEND, "the others have no time");
            commits(id, seq, true);
            reveals(id, seq, FRIEND, true);
            reveals(id, seq, 1, true);
            ended(id, seq, IReplicas.Outcome.Matched);
            ++withFriend;
        }
        ok(withFriend < FORGED / 2, "as often as the friend's part of the bonds says");
    }

    /// @dev Several duties rest on one bond. What lateness with all of them costs is less than that.
    function test_beingLateWithEverythingCostsLessThanTheBond() public {
        provider(6, 1, STAKE);
        uint64 large = replicated(400);
        waits(large, 6, 1_610 ether);
        uint32[] memory seqs = new uint32[](Parameters.MATE_DUTIES);
        fund(ownerOf(1), 50_000 ether);
        vm.prank(ownerOf(1));
        registry.addStake(50_000 ether);
        for (uint256 i = 0; i < seqs.length; ++i) {
            seqs[i] = sealedRange(large, false);
            eq(mateDrawn(large, seqs[i]), 6, "its mate");
            ok(value(large, seqs[i]) > 1_590 ether, "each worth nearly its bond");
        }
        vm.warp(pair(large, seqs[seqs.length - 1]).due + 1);
        for (uint256 i = 0; i < seqs.length; ++i) {
            replicas.advance(large, seqs[i]);
        }
        uint256 lost = STAKE - registry.provider(ownerOf(6)).stake;
        ok(lost > 1_270 ether && lost < 1_610 ether, "eight tenths");
        eq(entry(large, 6).busy, 0, "nothing is open");
        passSeconds(Parameters.DRAW_SPAN + 1);
        vm.prank(nodeOf(6));
        waiting.leave(large);
        eq(registry.provider(ownerOf(6)).exposure, 0, "its bond is free");
    }
}
