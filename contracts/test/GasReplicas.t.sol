// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReplicaWorld} from "./ReplicaWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev What replicas cost, each call a transaction of its own. Twenty providers wait; ranges of 1,000 leaves; all accounts have
/// history.
contract GasReplicasTest is ReplicaWorld {
    string internal constant GROUP = "replicas";
    uint96 internal constant STAKE = 20_000 ether;

    uint64 internal id;

    function setUp() public override {
        super.setUp();
        provider(1, 16, 100_000 ether);
        someAuditors(20, 100 ether);
        IJobBook.Terms memory t = auditedTerms(1_000);
        t.replicas = 2;
        id = openJob(t, 200_000 ether);
        mates(id, 20, STAKE);
        (uint32 seq,) = replica(id, false, false);
        audit(id, seq, false, 0);
        acknowledge(id, seq);
    }

    function test_waiting() public {
        provider(21, 4, STAKE);
        vm.prank(nodeOf(21));
        waiting.wait(id, STAKE, 0);
        vm.snapshotGasLastCall(GROUP, "replicated: wait as one of 20");
        passSeconds(1);
        vm.prank(nodeOf(21));
        waiting.leave(id);
        vm.snapshotGasLastCall(GROUP, "replicated: leave");
        passSeconds(1);
        vm.prank(nodeOf(21));
        waiting.wait(id, STAKE, 0);
        vm.snapshotGasLastCall(GROUP, "replicated: wait again");
        vm.prank(nodeOf(21));
        waiting.leave(id);
        passSeconds(Parameters.DRAW_SPAN + 1);
        vm.prank(nodeOf(21));
        waiting.leave(id);
        vm.snapshotGasLastCall(GROUP, "replicated: leave, bond freed");
    }

    function test_matchedRange() public {
        (uint32 seq,,) = claim(id, 1, 1_000);
        vm.snapshotGasLastCall(GROUP, "replicated: claim");
        handIn(id, seq, false);
        vm.snapshotGasLastCall(GROUP, "replicated: submit");
        passBlocks(3);
        replicas.draw(id, seq);
        uint256 all = vm.snapshotGasLastCall(GROUP, "replicated: draw");
        uint256 mate = pair(id, seq).mate;
        commits(id, seq, false);
        all += vm.snapshotGasLastCall(GROUP, "replicated: commit");
        reveals(id, seq, 1, false);
        all += vm.snapshotGasLastCall(GROUP, "replicated: reveal");
        reveals(id, seq, mate, false);
        all += vm.snapshotGasLastCall(GROUP, "replicated: reveal, last, matched");
        ended(id, seq, IReplicas.Outcome.Matched);
        audit(id, seq, false, 0);
        acknowledge(id, seq);
        vm.snapshotGasLastCall(GROUP, "replicated: acknowledge 1, matched");
        vm.snapshotValue(GROUP, "replicated: whole replica, matched", all);
    }

    function test_lateMate() public {
        uint32 seq = sealedRange(id, false);
        mateDrawn(id, seq);
        passedOver(id, seq);
        vm.snapshotGasLastCall(GROUP, "replicated: advance, one late and replaced");
        is_(id, seq, IReplicas.State.Working);
    }

    function test_silentPrimary() public {
        (uint32 seq,) = bothCommitted(id, false, false);
        reveals(id, seq, pair(id, seq).mate, false);
        passedOver(id, seq);
        vm.snapshotGasLastCall(GROUP, "replicated: advance, silent primary");
    }

    /// @dev The mate has all leaves wrong, so the first one is what they differ in; 1,000 leaves are three steps deep.
    function test_walkAndDispute() public {
        (uint32 seq, uint256 mate) = bothCommitted(id, false, true);
        reveals(id, seq, 1, false);
        reveals(id, seq, mate, true);
        uint256 all = vm.snapshotGasLastCall(GROUP, "replicated: reveal, last, different");
        while (pair(id, seq).state == IReplicas.State.Walking) {
            bool top = pair(id, seq).level == 10;
            MerkleSum.Sibling[] memory theirs = nodesBelow(id, seq, false);
            walks(id, seq, 1, false, none());
            all += vm.snapshotGasLastCall(GROUP, "replicated: walk, first of both (last step)");
            if (top) vm.snapshotGasLastCall(GROUP, "replicated: walk, first of both");
            walks(id, seq, mate, true, theirs);
            all += vm.snapshotGasLastCall(GROUP, "replicated: walk, second (last step)");
            if (top) vm.snapshotGasLastCall(GROUP, "replicated: walk, second");
        }
        showsLeaf(id, seq, mate, true);
        all += vm.snapshotGasLastCall(GROUP, "replicated: show");
        showsLeaf(id, seq, 1, false);
        all += vm.snapshotGasLastCall(GROUP, "replicated: show, last");
        passBlocks(3);
        audits.draw(id, seq);
        all += vm.snapshotGasLastCall(GROUP, "replicated: draw a dispute");
        while (case_(id, seq).state != IAudits.State.Closed) {
            stage(id, seq, false, 0);
        }
        replicas.conclude(id, seq);
        all += vm.snapshotGasLastCall(GROUP, "replicated: conclude, upheld");
        vm.snapshotValue(GROUP, "replicated: walk and dispute, without votes", all);
        ended(id, seq, IReplicas.Outcome.Alone);
    }

    /// @dev Nobody on the line is fit: as many draws as there are.
    function test_drawThatFindsNobody() public {
        uint64 poor;
        {
            IJobBook.Terms memory t = auditedTerms(1_000);
            t.replicas = 2;
            poor = openJob(t, 50_000 ether);
        }
        for (uint256 n = 30; n < 50; ++n) {
            provider(n, 1, 100 ether);
            waits(poor, n, 1 ether);
        }
        (uint32 seq,,) = claim(poor, 1, 1_000);
        handIn(poor, seq, false);
        passBlocks(3);
        replicas.draw(poor, seq);
        vm.snapshotGasLastCall(GROUP, "replicated: draw, 8 in vain");
        is_(poor, seq, IReplicas.State.Alone);
        eq(pair(poor, seq).nextDraw, Parameters.MATE_DRAWS, "all of them");
    }
}
