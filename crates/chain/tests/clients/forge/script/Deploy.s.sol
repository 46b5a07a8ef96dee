// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

import {Till} from "../src/Till.sol";

/// The part of forge's cheat codes that a deployment needs.
interface Vm {
    function startBroadcast(uint256 key) external;
    function stopBroadcast() external;
    function envUint(string calldata name) external view returns (uint256);
}

contract Deploy {
    bool public constant IS_SCRIPT = true; // how forge knows a script
    Vm private constant VM = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run() external returns (Till till, uint256 left) {
        VM.startBroadcast(VM.envUint("KEY"));
        till = new Till{value: 5}(1000);
        till.move(address(0xBEEF), 10, "first");
        left = till.move(address(0xCAFE), 20, "second");
        (bool paid,) = address(till).call{value: 7}("");
        require(paid, "not paid");
        VM.stopBroadcast();
    }
}
