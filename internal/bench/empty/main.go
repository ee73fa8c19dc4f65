// Empty is the least that a Go program can do: what starting one costs.
package main

func main() {}
