// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// @dev The cheat codes of forge that the tests use (there is no registry package of forge-std).
interface Vm {
    struct Log {
        bytes32[] topics;
        bytes data;
        address emitter;
    }

    function prank(address sender) external;
    function startPrank(address sender) external;
    function stopPrank() external;
    function warp(uint256 time) external;
    function roll(uint256 number) external;
    function deal(address who, uint256 coins) external;
    function chainId(uint256 id) external;
    function etch(address target, bytes calldata code) external;
    function expectRevert(bytes calldata data) external;
    function expectRevert(bytes4 selector) external;
    function expectPartialRevert(bytes4 selector) external;
    function assume(bool condition) external pure;
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function addr(uint256 key) external pure returns (address);
    function computeCreateAddress(address deployer, uint256 nonce) external pure returns (address);
    function getNonce(address account) external view returns (uint64);
    function getBlockTimestamp() external view returns (uint256);
    function getBlockNumber() external view returns (uint256);
    function snapshotState() external returns (uint256 id);
    function revertToState(uint256 id) external returns (bool success);
    function recordLogs() external;
    function getRecordedLogs() external returns (Log[] memory);
    function snapshotGasLastCall(string calldata group, string calldata name) external returns (uint256);
    function snapshotValue(string calldata group, string calldata name, uint256 value) external;
    function getCode(string calldata what) external view returns (bytes memory);
    function readFile(string calldata path) external view returns (string memory);
    function parseJson(string calldata json, string calldata key) external pure returns (bytes memory);
    function parseJsonUint(string calldata json, string calldata key) external pure returns (uint256);
    function parseJsonBytes32(string calldata json, string calldata key) external pure returns (bytes32);
    function parseJsonBytes32Array(string calldata json, string calldata key) external pure returns (bytes32[] memory);
    function parseJsonStringArray(string calldata json, string calldata key) external pure returns (string[] memory);
    function parseUint(string calldata text) external pure returns (uint256);
    function keyExistsJson(string calldata json, string calldata key) external pure returns (bool);
    function toString(uint256 value) external pure returns (string memory);
    function assertEq(uint256 a, uint256 b, string calldata why) external pure;
    function assertEq(bytes32 a, bytes32 b, string calldata why) external pure;
    function assertEq(address a, address b, string calldata why) external pure;
    function assertTrue(bool a, string calldata why) external pure;
    function assertLe(uint256 a, uint256 b, string calldata why) external pure;
}

/// @dev What every test contract starts from.
abstract contract T {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @dev Marks the contract as a test for forge.
    bool public constant IS_TEST = true;

    function eq(uint256 a, uint256 b, string memory why) internal pure {
        vm.assertEq(a, b, why);
    }

    function eq(bytes32 a, bytes32 b, string memory why) internal pure {
        vm.assertEq(a, b, why);
    }

    function eq(address a, address b, string memory why) internal pure {
        vm.assertEq(a, b, why);
    }

    /// @dev Creates a contract of src from the code that ships, whichever profile the tests are compiled with; zero if its constructor
    /// refuses. With `new` it would be other code, and the compiler would build it anew inside every test contract.
    function created(string memory name, bytes memory args) internal returns (address) {
        return createdFrom(string.concat("out/", name, ".sol/", name, ".json"), args);
    }

    /// @dev The same for a contract of the tests.
    function helper(string memory name, bytes memory args) internal returns (address) {
        return createdFrom(string.concat(name, ".sol:", name), args);
    }

    function createdFrom(string memory what, bytes memory args) private returns (address at) {
        bytes memory code = abi.encodePacked(vm.getCode(what), args);
        assembly ("memory-safe") {
            at := create(0, add(code, 0x20), mload(code))
        }
    }

    /// @dev Lets time pass. The compiler takes the time for the same all through a function, so it is asked for anew.
    function passSeconds(uint256 n) internal {
        vm.warp(vm.getBlockTimestamp() + n);
    }

    function ok(bool a, string memory why) internal pure {
        vm.assertTrue(a, why);
    }

    /// @dev Maps a fuzzed number into low ..= high.
    function bound(uint256 x, uint256 low, uint256 high) internal pure returns (uint256) {
        return low + x % (high - low + 1);
    }
}
