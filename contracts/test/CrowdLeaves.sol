// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Replica} from "./Replica.sol";
import {T} from "./T.sol";
import {Trees} from "./Trees.sol";
import {Audits} from "../src/Audits.sol";
import {Replicas} from "../src/Replicas.sol";
import {IAudits} from "../src/interfaces/IAudits.sol";
import {IJobBook} from "../src/interfaces/IJobBook.sol";
import {IReplicas} from "../src/interfaces/IReplicas.sol";
import {AuditRules} from "../src/libraries/AuditRules.sol";
import {Draw} from "../src/libraries/Draw.sol";
import {MerkleSum} from "../src/libraries/MerkleSum.sol";

/// @dev A range, or with the number INPUTS the inputs of a job.
struct Piece {
    uint64 id;
    uint32 seq;
}

/// @dev How a case is played to its end.
enum End {
    Unheard,
    Divided,
    Framed,
    Unnamed,
    Unopened,
    Upheld
}

/// @dev What becomes of a replica.
enum Twin {
    Matched,
    MateWrong,
    Undecided,
    BothWrong,
    MateLate,
    MateSilent,
    MateStops,
    PrimarySilent,
    PrimaryStops,
    Undrawn
}

/// @dev What becomes of a kept range, or of the inputs before it.
enum Hold {
    Held,
    Unseen,
    Lost,
    InputsLost,
    Dropped
}

/// @dev What the crowd finds in its ranges, and how it says so: leaves, roots, seals, nodes; and small things besides.
abstract contract CrowdLeaves is T {
    Replica internal replica;
    Audits internal audits;
    Replicas internal replicas;
    bytes32 internal constant SALT = "salt";

    /// @dev Leaves of a range as the crowd hands them in: what a task may take at most until the units are used up. The prepare
    /// leaf takes first.
    function leaves(uint64 id, uint32 seq) internal view returns (MerkleSum.Leaf[] memory) {
        return leavesWith(id, seq, replica.range(id, seq).units, replica.range(id, seq).failures);
    }

    function leavesWith(uint64 id, uint32 seq, uint256 units, uint256 failures)
        internal
        view
        returns (MerkleSum.Leaf[] memory list)
    {
        IJobBook.Range memory r = replica.range(id, seq);
        IJobBook.Terms memory t = replica.job(id).terms;
        uint256 prepare = t.prepareCap == 0 ? 0 : 1;
        list = new MerkleSum.Leaf[](r.count + prepare);
        for (uint256 i = 0; i < list.length; ++i) {
            uint256 most = i < prepare ? t.prepareCap : t.unitCap;
            uint64 taken = uint64(units < most ? units : most);
            units -= taken;
            uint32 index = i < prepare ? MerkleSum.PREPARE_INDEX : uint32(r.from + i - prepare);
            list[i] = MerkleSum.Leaf(id, index, i < failures ? 1 : 0, 0, 0, taken);
        }
    }

    function rootOf(uint64 id, uint32 seq, uint64 units, uint32 failures) internal view returns (bytes32 root) {
        if (replica.range(id, seq).count == 0) return "nothing";
        (root,) = MerkleSum.recomputeRoot(leavesWith(id, seq, units, failures));
    }

    /// @dev What is submitted: a root, or a seal of it.
    function handedIn(uint64 id, uint32 seq, uint64 units, uint32 failures) internal view returns (bytes32 root) {
        root = rootOf(id, seq, units, failures);
        if (replica.job(id).terms.replicas == 0) return root;
        return sealOf(id, seq, replica.range(id, seq).provider, root, units, failures);
    }

    function sealOf(uint64 id, uint32 seq, address who, bytes32 root, uint64 units, uint32 failures)
        internal
        view
        returns (bytes32)
    {
        bytes32 answer = keccak256(abi.encodePacked(root, units, failures));
        return keccak256(abi.encodePacked(block.chainid, address(replicas), id, seq, who, answer, SALT));
    }

    /// @dev What a mate has found: what its primary has, or with another last leaf. Both walk only in the second case.
    function leavesOfMate(uint64 id, uint32 seq, bool lies) internal view returns (MerkleSum.Leaf[] memory list) {
        list = leaves(id, seq);
        if (lies) list[list.length - 1].output = "another";
    }

    function nodes(uint64 id, uint32 seq, IReplicas.Pair memory p, bool byMate)
        internal
        view
        returns (MerkleSum.Sibling[] memory)
    {
        uint256 levels = p.level < 4 ? p.level : 4;
        MerkleSum.Leaf[] memory all = byMate ? leavesOfMate(id, seq, true) : leaves(id, seq);
        return Trees.nodes(all, p.level - levels, uint256(p.index) << levels, 1 << levels);
    }

    function positions(uint64 id, uint32 seq, IAudits.Case memory c) internal view returns (uint32[] memory list) {
        IJobBook.Range memory r = replica.range(id, seq);
        uint256 leaves_ = uint256(r.count) + (replica.job(id).terms.prepareCap == 0 ? 0 : 1);
        bytes32 seed = Draw.seedOf(audits.randomness().value(c.round), id, seq, 0);
        list = new uint32[](8);
        for (uint32 i = 0; i < 8; ++i) {
            (bool byUnits, uint256 value) = Draw.pick(seed, i, leaves_, r.units);
            uint256 at = value;
            if (byUnits) {
                MerkleSum.Leaf[] memory all = leaves(id, seq);
                for (at = 0; value >= all[at].units; ++at) {
                    value -= all[at].units;
                }
            }
            list[i] = uint32(at);
        }
    }

    function answerTo(uint64 id, uint32 seq, IAudits.Case memory c) internal view returns (bytes32) {
        MerkleSum.Leaf[] memory all = leaves(id, seq);
        bytes32[] memory hashes = new bytes32[](8);
        for (uint256 i = 0; i < 8; ++i) {
            hashes[i] = MerkleSum.leafHash(all[uint32(c.positions >> 32 * i)]);
        }
        return AuditRules.answer(hashes);
    }

    function seal(uint64 id, uint32 seq, address who, bytes32 answer) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(block.chainid, address(audits), id, seq, who, answer, SALT));
    }

    /// @dev Whether it is now that somebody is late.
    function stops(Twin twin, IReplicas.Pair memory p) internal pure returns (bool) {
        if (p.state == IReplicas.State.Sealed) return twin == Twin.Undrawn;
        if (p.state == IReplicas.State.Working) return twin == Twin.MateLate;
        bool walks = p.state == IReplicas.State.Walking;
        if (p.shown == 1) return twin == (walks ? Twin.MateStops : Twin.MateSilent);
        return p.shown == 2 && twin == (walks ? Twin.PrimaryStops : Twin.PrimarySilent);
    }

    function isOpen(uint64 id, uint32 seq) internal view returns (bool) {
        IReplicas.State state = replicas.pair(id, seq).state;
        return state != IReplicas.State.None && state != IReplicas.State.Closed;
    }

    function nodeOf(uint64 id, uint32 seq, IReplicas.Pair memory p, bool byMate) internal view returns (address) {
        return replica.provider(byMate ? replica.ownerOf(p.mate) : replica.range(id, seq).provider).node;
    }

    function someSeq(uint64 id, uint256 n) internal view returns (uint32) {
        return uint32(n % (uint256(replica.job(id).ranges) + 1));
    }

    function seqs(uint64 id, uint256 n) internal view returns (uint32[] memory list) {
        list = new uint32[](n % 6);
        for (uint256 i = 0; i < list.length; ++i) {
            list[i] = someSeq(id, uint256(keccak256(abi.encode(n, i))));
        }
    }
}
