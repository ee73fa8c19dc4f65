package host

type socketFacts struct{}
