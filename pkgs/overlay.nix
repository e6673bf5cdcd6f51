final: _prev: {
  aistack = final.callPackage ./aistack-py/package.nix { };
}
