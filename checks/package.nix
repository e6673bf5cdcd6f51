# The package, built with its tests.
{ aistack }: aistack.override { withTests = true; }
