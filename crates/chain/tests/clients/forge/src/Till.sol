// SPDX-License-Identifier: Apache-2.0 OR MIT
pragma solidity 0.8.37;

/// What the client tests deploy: it stores, logs, and fails in every way a client must tell apart.
contract Till {
    error NotEnough(address who, uint256 has, uint256 wants);

    event Moved(address indexed from, address indexed to, uint256 amount, string note);
    event Paid(address indexed from, uint256 amount);

    mapping(address account => uint256) public held; // slot 0
    uint256 public moves; // slot 1
    address public immutable OWNER;

    constructor(uint256 start) payable {
        OWNER = msg.sender;
        held[msg.sender] = start;
    }

    receive() external payable {
        emit Paid(msg.sender, msg.value);
    }

    function move(address to, uint256 amount, string calldata note) external returns (uint256 left) {
        uint256 has = held[msg.sender];
        if (has < amount) revert NotEnough(msg.sender, has, amount);
        left = has - amount;
        held[msg.sender] = left;
        held[to] += amount;
        moves += 1;
        emit Moved(msg.sender, to, amount, note);
    }

    /// 0 and above: a reason, a panic, bare, out of gas.
    function fail(uint256 way) external view returns (uint256) {
        require(way != 0, "the till is closed");
        if (way == 1) return 1 / (way - 1);
        if (way == 2) revert();
        while (gasleft() > 0) {}
        return way;
    }
}
