// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {HoldWorld} from "./HoldWorld.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IHolders} from "../src/interfaces/IHolders.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {Flags} from "../src/libraries/Flags.sol";
import {Parameters} from "../src/libraries/Parameters.sol";

/// @dev The inputs of kept jobs: held before anybody works, so that whoever is drawn to look into a range can.
contract HoldInputsTest is HoldWorld {
    uint8 internal constant KEPT = Flags.AUDITED | Flags.KEPT;
    uint32 internal constant SIZE = 200;
    /// @dev For a vote that earns some 39 it costs some 900 to ask for so much.
    uint96 internal constant FUNDS = 1_000 ether;

    uint64 internal id;
    uint256 internal fee;

    function setUp() public override {
        super.setUp();
        provider(1, 4, 5_000 ether);
        someAuditors(20, 100 ether);
        id = openJob(keptTerms(40), 20_000 ether);
        fund_(id, FUNDS);
        fee = inputsFee(id, SIZE);
    }

    function wrongState(IHolders.State state) internal {
        vm.expectRevert(abi.encodeWithSelector(IHolders.WrongState.selector, id, INPUTS, state));
    }

    function hasNoRoom() internal {
        eq(bench.room(id, 1, KEPT), 0, "no room");
        vm.prank(nodeOf(1));
        refused(id, IJobBook.Refusal.NoExposure);
        book.claim(id, 40, 0);
    }

    // ---------------------------------------------------------------- before the first claim

    function test_nobodyGetsARangeBeforeTheInputsAreHeld() public {
        hasNoRoom();
        askInputs(id, SIZE);
        stands(id, INPUTS, IHolders.State.Asked);
        hasNoRoom();
        begun(id, INPUTS);
        sign(id, INPUTS, 0, 3);
        hasNoRoom();
        ok(!holders.areInputsHeld(id), "too few");
        signs(id, INPUTS, 3);
        ok(holders.areInputsHeld(id), "held");
        eq(bench.room(id, 1, KEPT), audits.room(1), "room");
        claim(id, 1, 40);
        // Longer than what the job makes: until no case can need them.
        eq(ask_(id, INPUTS).until, book.job(id).terms.deadline + 7 days, "until");
        isMoney(id, FUNDS - 4 * fee, second(4, fee));
        eq(bench.room(audited(40), 1, Flags.AUDITED), audits.room(1), "other jobs have no inputs to be held");
    }

    /// @dev It has had others come for nothing, twice, and pays for that; nobody else does, and nobody has worked for it.
    function test_aClientThatServesNobodyHasNoWorkAndPaysForIt() public {
        askInputs(id, SIZE);
        begun(id, INPUTS);
        nobodyMore(id, INPUTS);
        stands(id, INPUTS, IHolders.State.Again);
        askInputs(id, SIZE);
        begun(id, INPUTS);
        uint256 burned = free(ledger.BURN_ACCOUNT());
        vm.warp(ask_(id, INPUTS).from + 2 * Parameters.HOLD_TIME + 1);
        holders.fail(id, INPUTS);
        stands(id, INPUTS, IHolders.State.Lost);
        eq(free(ledger.BURN_ACCOUNT()) - burned, 0.08 ether, "eight least fees, and nobody has them");
        hasNoRoom();
        vm.prank(CLIENT);
        wrongState(IHolders.State.Lost);
        holders.ask(id, INPUTS, SIZE);
        eq(registry.provider(ownerOf(1)).stake, 5_000 ether, "no provider is punished");
        for (uint256 n = 1; n <= 20; ++n) {
            eq(stakeOf(n), 100 ether, "nor an auditor");
        }
        uint256 before = free(CLIENT);
        vm.startPrank(CLIENT);
        book.cancel(id);
        eq(holders.close(id), FUNDS - 0.08 ether, "the rest of it is left");
        vm.stopPrank();
        eq(free(CLIENT) - before, 20_000 ether + FUNDS - 0.08 ether, "its money is back");
    }

    function test_aClientThatServesTooFewPaysThese() public {
        askInputs(id, SIZE);
        isMoney(id, FUNDS, cost(fee));
        begun(id, INPUTS);
        sign(id, INPUTS, 0, 3);
        nobodyMore(id, INPUTS);
        isMoney(id, FUNDS - 3 * fee, cost(fee) - 3 * fee);
        // The same fee as before, though it is a little later.
        askInputs(id, SIZE);
        begun(id, INPUTS);
        sign(id, INPUTS, 0, 3);
        passSeconds(Parameters.HOLD_TIME + 1);
        sign(id, INPUTS, 7, 11);
        stands(id, INPUTS, IHolders.State.Open);
        nobodyMore(id, INPUTS);
        stands(id, INPUTS, IHolders.State.Lost);
        // And what is paid for inputs that nobody could hold.
        isMoney(id, FUNDS - 10 * fee - 0.08 ether, 0);
    }

    function test_whatFailedOnceMayBeHeldTheSecondTime() public {
        askInputs(id, SIZE);
        passBlocks(300);
        holders.draw(id, INPUTS);
        stands(id, INPUTS, IHolders.State.Again);
        vm.prank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IHolders.BadSize.selector, SIZE + 1, SIZE));
        holders.ask(id, INPUTS, SIZE + 1);
        askInputs(id, SIZE);
        begun(id, INPUTS);
        sign(id, INPUTS, 0, 4);
        ok(holders.areInputsHeld(id), "held");
        isMoney(id, FUNDS - 4 * fee, second(4, fee));
    }

    // ---------------------------------------------------------------- who, and for how much

    function test_onlyTheClientAsksForAnySizeThatItPaysFor() public {
        address[3] memory others = [nodeOf(1), ownerOf(1), auditorNode(1)];
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(others[i]);
            vm.expectRevert(abi.encodeWithSelector(IHolders.NotYours.selector, others[i]));
            holders.ask(id, INPUTS, SIZE);
        }
        vm.startPrank(CLIENT);
        vm.expectRevert(abi.encodeWithSelector(IHolders.BadSize.selector, 0, 0));
        holders.ask(id, INPUTS, 0);
        uint32 most = 64 << 10;
        vm.expectRevert(abi.encodeWithSelector(IHolders.BadSize.selector, most + 1, most));
        holders.ask(id, INPUTS, most + 1);
        uint256 dear = cost(inputsFee(id, most));
        vm.expectRevert(abi.encodeWithSelector(IHolders.TooLittleFree.selector, FUNDS, dear));
        holders.ask(id, INPUTS, most);
        // Twice the largest range.
        holders.ask(id, INPUTS, SIZE);
        wrongState(IHolders.State.Asked);
        holders.ask(id, INPUTS, SIZE);
        vm.stopPrank();
        eq(holders.inputs(id).fee, fee, "what each vote earns");
        eq(holders.inputs(id).asOf, vm.getBlockTimestamp() - 1, "the line");
    }

    function test_holdersAreDrawnFromTheLineBeforeTheAskWithoutTheClient() public {
        fund(CLIENT, 100_000 ether);
        vm.prank(CLIENT);
        auditors.join(CLIENT, 100_000 ether);
        passSeconds(1);
        eq(holders.named(id, INPUTS).length, 0, "nobody is drawn");
        askInputs(id, SIZE);
        uint40 asOf = uint40(vm.getBlockTimestamp() - 1);
        auditor(22, 100_000 ether);
        passBlocks(3);
        holders.draw(id, INPUTS);
        uint32[] memory out = new uint32[](1);
        out[0] = auditors.numberOf(CLIENT);
        bytes32 seed = Draw.seedOf(randomness.value(ask_(id, INPUTS).round), id, INPUTS, 0);
        uint32[] memory due = auditors.drawn(seed, Draw.HOLDER, 0, 15, out, asOf);
        uint32[] memory named_ = holders.named(id, INPUTS);
        wereThere(named_, due, 15);
        address stranger = auditorNode(named_[0] == 1 ? 2 : 1);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IHolders.NotHolder.selector, stranger));
        holders.hold(id, INPUTS, 0);
        uint256 before = free(auditorOwner(named_[2]));
        signs(id, INPUTS, 2);
        eq(free(auditorOwner(named_[2])) - before, holders.inputs(id).fee, "its fee");
    }

    // ---------------------------------------------------------------- jobs that are over

    function test_nobodyHoldsWhatNobodyWorksOn() public {
        askInputs(id, SIZE);
        begun(id, INPUTS);
        sign(id, INPUTS, 0, 1);
        address next = auditorNode(holders.named(id, INPUTS)[1]);
        vm.expectRevert(
            abi.encodeWithSelector(IHolders.TooEarly.selector, ask_(id, INPUTS).from + 2 * Parameters.HOLD_TIME)
        );
        holders.fail(id, INPUTS);
        vm.prank(CLIENT);
        book.cancel(id);
        vm.prank(next);
        vm.expectRevert(abi.encodeWithSelector(IHolders.RangeIsOver.selector, id, INPUTS));
        holders.hold(id, INPUTS, 1);
        holders.fail(id, INPUTS);
        stands(id, INPUTS, IHolders.State.Dropped);
        isMoney(id, FUNDS - fee, 0);
        uint64 other = openJob(keptTerms(40), 20_000 ether);
        fund_(other, DEPOSIT);
        vm.startPrank(CLIENT);
        book.cancel(other);
        vm.expectRevert(abi.encodeWithSelector(IHolders.RangeIsOver.selector, other, INPUTS));
        holders.ask(other, INPUTS, SIZE);
        vm.stopPrank();
    }

    /// @dev Who gives up at the last moment has had others come for nothing as often.
    function test_givingUpIsNoCheaperThanFailing() public {
        askInputs(id, SIZE);
        begun(id, INPUTS);
        sign(id, INPUTS, 0, 3);
        nobodyMore(id, INPUTS);
        askInputs(id, SIZE);
        begun(id, INPUTS);
        sign(id, INPUTS, 0, 2);
        vm.prank(CLIENT);
        book.cancel(id);
        vm.warp(ask_(id, INPUTS).from + 2 * Parameters.HOLD_TIME + 1);
        holders.fail(id, INPUTS);
        stands(id, INPUTS, IHolders.State.Dropped);
        isMoney(id, FUNDS - 5 * fee - 0.08 ether, 0);
        vm.prank(CLIENT);
        eq(holders.close(id), FUNDS - 5 * fee - 0.08 ether, "the rest of it is left");
    }

    /// @dev After the deadline nobody claims, but a time to keep there still is.
    function test_afterTheDeadlineNothingOverflows() public {
        vm.warp(book.job(id).terms.deadline + 30 days);
        askInputs(id, 1);
        eq(holders.inputs(id).fee, (0.03 ether + 0.07 ether) / 2, "for a week");
        begun(id, INPUTS);
        sign(id, INPUTS, 0, 4);
        eq(ask_(id, INPUTS).until, vm.getBlockTimestamp() + 7 days, "until");
    }

    // ---------------------------------------------------------------- who does not come though it could

    /// @dev Others hold what it needs: who is drawn and stays away pays a thousandth, here the floor, out of what is leaving if all is.
    function test_whoStaysAwayPaysWhereInputsAreHeld() public {
        uint64 kept = keptJob(40, DEPOSIT);
        uint32 seq = drawnTwo(kept, false);
        named(kept, seq);
        uint32 absent = audits.seat(kept, seq, 0).auditor;
        vm.prank(auditorOwner(absent));
        auditors.unstake(100 ether);
        commit(kept, seq, 1, truth(kept, seq));
        late(kept, seq);
        eq(auditors.auditor(absent).leaving, 100 ether, "whether that counts is not known yet");
        stage(kept, seq, false, 0);
        ok(case_(kept, seq).outcome == IAudits.Outcome.Upheld, "upheld by those who came");
        eq(auditors.auditor(absent).leaving, 99.9 ether, "a thousandth");
        eq(audits.owed(auditorOwner(absent)), 0, "no fee");
    }

    /// @dev Where more people were absent than came nobody pays here, either: what can be had may be more than can be executed.
    function test_whereMostStayAwayNobodyPays() public {
        uint64 kept = keptJob(40, DEPOSIT);
        uint32 seq = drawnTwo(kept, false);
        named(kept, seq);
        late(kept, seq);
        late(kept, seq);
        stage(kept, seq, false, 0);
        IAudits.Case memory c = case_(kept, seq);
        ok(c.outcome == IAudits.Outcome.Upheld, "upheld by those who came");
        ok(2 * uint256(c.absent) > c.given, "more were absent");
        for (uint256 n = 1; n <= 20; ++n) {
            eq(stakeOf(n), 100 ether, "nobody pays");
        }
    }
}
