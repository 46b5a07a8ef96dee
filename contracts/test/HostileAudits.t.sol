// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {ReplicaWorld} from "./ReplicaWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IRegistry} from "../src/interfaces/IRegistry.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev What somebody who means harm may try where ranges are judged: each test is a suspicion that came to nothing.
contract HostileAuditsTest is ReplicaWorld {
    address internal constant STRANGER = address(0x57A4);

    uint64 internal id;

    /// @dev A case of a newcomer, whose range is always audited, drawn to two people.
    function begun() internal returns (uint32 seq) {
        provider(1, 4, 1_000 ether);
        someAuditors(12, 100 ether);
        id = audited(40);
        return drawnTwo(id, false);
    }

    // ---------------------------------------------------------------- to the second

    /// @dev In its last second nobody goes on without whose move it is; a second later the move is refused.
    function lastSecond(uint32 seq, address sender, bytes memory move) internal {
        uint40 deadline = case_(id, seq).deadline;
        vm.warp(deadline);
        vm.expectRevert(abi.encodeWithSelector(IAudits.TooEarly.selector, deadline));
        audits.advance(id, seq);
        vm.warp(deadline + 1);
        vm.prank(sender);
        (bool done, bytes memory why) = address(audits).call(move);
        ok(!done, "late");
        bytes32 tooLate = keccak256(abi.encodeWithSelector(IAudits.TooLate.selector, deadline));
        eq(keccak256(why), tooLate, "and for that reason");
        vm.warp(deadline);
        vm.prank(sender);
        (done,) = address(audits).call(move);
        ok(done, "in time");
    }

    function test_inItsLastSecondEveryMoveOfACaseIsInTime() public {
        uint32 seq = begun();
        lastSecond(seq, nodeOf(1), abi.encodeCall(IAudits.name, (id, seq, positions(id, seq))));
        commit(id, seq, 0, truth(id, seq));
        uint256 who = audits.seat(id, seq, 1).auditor;
        bytes32 sealed_ = seal(id, seq, who, truth(id, seq));
        lastSecond(seq, auditorNode(who), abi.encodeCall(IAudits.commit, (id, seq, 1, sealed_)));
        (MerkleSum.Leaf[] memory list, MerkleSum.Sibling[][] memory proofs) = openings(id, seq, false);
        lastSecond(seq, STRANGER, abi.encodeCall(IAudits.open, (id, seq, list, proofs)));
        reveal(id, seq, 0, truth(id, seq));
        bytes32 salt = keccak256(abi.encode(SALT, who));
        lastSecond(seq, STRANGER, abi.encodeCall(IAudits.reveal, (id, seq, 1, truth(id, seq), salt)));
        ok(case_(id, seq).outcome == IAudits.Outcome.Upheld, "upheld");
        eq(stakeOf(who), 100 ether, "nobody was late");
        eq(registry.provider(ownerOf(1)).stake, 1_000 ether, "nobody was late");
    }

    // ---------------------------------------------------------------- in front of others

    /// @dev Who sees a reveal before it is in a block can only send it for the one whose it is.
    function test_aRevealSentByOthersIsItsAuditorsOwn() public {
        uint32 seq = begun();
        named(id, seq);
        commit(id, seq, 0, truth(id, seq));
        commit(id, seq, 1, truth(id, seq));
        opened(id, seq, false);
        uint256 who = audits.seat(id, seq, 0).auditor;
        bytes32 salt = keccak256(abi.encode(SALT, who));
        bytes32 answer_ = truth(id, seq);
        vm.startPrank(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongSeal.selector, 1));
        audits.reveal(id, seq, 1, answer_, salt);
        audits.reveal(id, seq, 0, answer_, salt);
        vm.stopPrank();
        vm.prank(auditorNode(who));
        vm.expectRevert(abi.encodeWithSelector(IAudits.WrongSeat.selector, 0));
        audits.reveal(id, seq, 0, answer_, salt);
        reveal(id, seq, 1, answer_);
        uint256 other = audits.owed(auditorOwner(audits.seat(id, seq, 1).auditor));
        ok(other != 0 && audits.owed(auditorOwner(who)) == other, "its fee, as the other's");
        eq(audits.owed(STRANGER), 0, "nothing for others");
    }

    /// @dev An auditor that copies another's seal cannot open it as its own, and is one who does not reveal.
    function test_aCopiedSealIsALostSeat() public {
        uint32 seq = begun();
        named(id, seq);
        commit(id, seq, 0, truth(id, seq));
        bytes32 copied = audits.seat(id, seq, 0).word;
        (uint256 first, uint256 copier) = (audits.seat(id, seq, 0).auditor, audits.seat(id, seq, 1).auditor);
        vm.prank(auditorNode(copier));
        audits.commit(id, seq, 1, copied);
        opened(id, seq, false);
        reveal(id, seq, 0, truth(id, seq));
        bytes32 answer_ = truth(id, seq);
        for (uint256 i = 0; i < 2; ++i) {
            bytes32 salt = keccak256(abi.encode(SALT, i == 0 ? first : copier));
            vm.expectRevert(abi.encodeWithSelector(IAudits.WrongSeal.selector, 1));
            audits.reveal(id, seq, 1, answer_, salt);
        }
        late(id, seq);
        eq(stakeOf(copier), 50 ether, "half of its stake");
        eq(stakeOf(first), 100 ether, "the other's is whole");
        while (case_(id, seq).state != IAudits.State.Closed) {
            stage(id, seq, false, 0);
        }
        ok(case_(id, seq).outcome == IAudits.Outcome.Upheld, "and its provider is paid");
    }

    /// @dev Anybody may have an auditor paid, and pay into the purse; neither brings anything to whoever does.
    function test_whoCollectsForOthersGetsNothing() public {
        uint32 seq = begun();
        named(id, seq);
        stage(id, seq, false, 0);
        address who = auditorOwner(audits.seat(id, seq, 0).auditor);
        uint256 due = audits.owed(who);
        ok(due > 1, "something is owed, and the purse is empty");
        fund(STRANGER, 1);
        fund(address(audits), 1);
        vm.startPrank(STRANGER);
        vm.expectRevert(IAudits.NothingToCollect.selector);
        audits.collect(STRANGER);
        eq(audits.collect(who), 1, "as far as it reaches");
        vm.expectRevert(IAudits.NothingToCollect.selector);
        audits.collect(who);
        vm.stopPrank();
        fund(address(audits), uint128(due));
        eq(audits.collect(who), due - 1, "the rest");
        eq(free(who), due, "all that was owed");
        eq(free(STRANGER), 1, "nothing");
        eq(free(address(audits)), 1, "what was too much stays");
        (, uint128 held) = ledger.module(address(audits));
        eq(held, 0, "nothing stays locked");
    }

    // ---------------------------------------------------------------- who is several people

    /// @dev A client that forges for itself gets back half of what is left of its stake at most.
    function test_aClientThatForgesForItselfLosesHalfOfItsStake() public {
        someAuditors(12, 100 ether);
        fund(CLIENT, 1_000 ether);
        IRegistry.Consent memory agreed = consent(1, CLIENT);
        vm.prank(CLIENT);
        registry.register(nodeOf(1), 4, attributes(), 0, "", 1_000 ether, agreed);
        uint256 before = free(CLIENT) + locked(CLIENT);
        id = audited(40);
        uint32 seq = work(id, true);
        IAudits.Case memory c = audit(id, seq, true, 0);
        ok(c.outcome == IAudits.Outcome.Overturned, "overturned");
        vm.prank(CLIENT);
        book.cancel(id);
        book.finish(id);
        eq(locked(CLIENT), 0, "nothing stays locked");
        uint256 burned = free(ledger.BURN_ACCOUNT());
        eq(before - free(CLIENT), burned + free(address(audits)), "gone: what is burned, and what the purse got");
        // Of each of two cuts the odd unit is burned.
        ok(burned == 500 ether || burned == 500 ether + 1, "half of the stake is burned");
        ok(free(address(audits)) != 0, "auditors come first");
    }

    // ---------------------------------------------------------------- the largest amounts

    function largest(uint8 replicas_, uint96 price) internal returns (uint32 seq) {
        IJobBook.Terms memory t = auditedTerms(1);
        (t.taskCount, t.price, t.replicas) = (1, price, replicas_);
        fund(CLIENT, CAP);
        id = openJob(t, 7 * price * (replicas_ == 0 ? 1 : 2));
        if (replicas_ != 0) mates(id, 2, uint96(CAP / 2));
        uint32 count;
        (seq,, count) = claim(id, 1, 1);
        eq(count, 1, "all there is");
        eq(book.job(id).escrow, 0, "for all the money");
    }

    function test_aRangeWorthAllThatAStakeCarriesIsAudited() public {
        someAuditors(12, 100 ether);
        provider(1, 4, CAP);
        uint32 seq = largest(0, uint96(CAP / 7));
        (bytes32 root,) = MerkleSum.recomputeRoot(leaves(id, seq, false));
        vm.prank(nodeOf(1));
        book.submit(id, seq, root, 1, 0, "content");
        uint256 worth = CAP / 7;
        eq(registry.provider(ownerOf(1)).exposure, worth, "what it is worth");
        ok(audit(id, seq, false, 0).outcome == IAudits.Outcome.Upheld, "upheld");
        eq(audits.record(1), worth, "on record");
        (uint256 charge, uint256 client) = (free(address(audits)), free(CLIENT));
        acknowledge(id, seq);
        charge = free(address(audits)) - charge;
        ok(charge >= worth / 50 && charge <= worth / 2, "its audit");
        eq(free(ownerOf(1)), worth - worth / 100 - charge, "the rest");
        book.finish(id);
        eq(free(CLIENT) - client, CAP / 7 * 6, "what it did not take comes back");
    }

    function test_aReplicatedRangeWorthAllThatAStakeCarriesIsPaidTwice() public {
        someAuditors(12, 100 ether);
        provider(1, 4, CAP / 2);
        uint32 seq = largest(2, uint96(CAP / 28));
        uint256 worth = CAP / 28;
        handIn(id, seq, false);
        eq(mateDrawn(id, seq), 2, "the mate");
        commits(id, seq, false);
        reveals(id, seq, 2, false);
        reveals(id, seq, 1, false);
        ended(id, seq, IReplicas.Outcome.Matched);
        ok(audit(id, seq, false, 0).outcome == IAudits.Outcome.Upheld, "upheld");
        acknowledge(id, seq);
        eq(free(ownerOf(2)), worth - worth / 100 - worth / 50, "the mate");
        book.finish(id);
        (, uint128 held) = ledger.module(address(book));
        eq(held, 0, "nothing is left in the job");
    }
}
