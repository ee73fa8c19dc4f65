package host

type clockFacts struct{}
