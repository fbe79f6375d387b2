// Package agent makes a host of any machine on which one may run a command and reach a Unix socket, as over ssh. Nothing
// has to be installed there:
//
//  1. The client runs a script, which executes the client's own program if the machine has it, by its content, in
//     its state folder. Else the script says so, and the client sends the program once.
//  2. That program is an agent: a process that lives as long as the command does, with a Unix socket of its own. It has a
//     keeper run, and does by HTTP what a keeper does not: files, connections, and questions about servers.
//  3. The client reaches the door of the keeper and the socket of the agent through the machine.
//
// The end of a connection, of an agent, of a keeper, and of a machine are four things, of which none is the end of a
// server. The client begins again with the first step until it has an agent.
package agent
