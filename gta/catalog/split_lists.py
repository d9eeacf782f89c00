"""The split lists that the authors of BSS published (Chen et al. 2019)."""

from __future__ import annotations

from types import MappingProxyType

from gta.catalog.archives import Archive

_BSS = (
    "https://raw.githubusercontent.com/thuml/Batch-Spectral-Shrinkage/"
    "d8c255d4f838515039002dbac87aaef8d60e0f86/ft-datalist"
)
_SHA256 = {
    "FGVCAircraft_100_train": "8c9133df988100a3dbc7e3e4173034bd0b422621ef66b64b27e930f2e427903f",
    "FGVCAircraft_15_train": "466d5e6e04bb8e29244297d0e96f767990095d050602854fe8c5330f1a4bcf9b",
    "FGVCAircraft_30_train": "eaf95346a4829eb048d584ea6ff0219cd5984ad8d7a93874b51c95f39b5b89b4",
    "FGVCAircraft_50_train": "d0a154e70ef2d4bf23ae24c2733fac4c88d9e4a31fa9991e8fd0d724a670dd4a",
    "FGVCAircraft_test": "86ec94e554348146d2c881e74a0621ef5c945cd212f40388f81bd033c0c81483",
    "Oxford-IIIT_100_train": "44bfe6842a144cd46a33870b3bbc44606691c1fa8725d8e9fe4888d4e1acf8cb",
    "Oxford-IIIT_15_train": "443d8d74162fc0bfad4a8eee1035b5d2583e79154696b377adbf66dc261cef6e",
    "Oxford-IIIT_30_train": "d169d278c1942ca00c6dc6647f24e9955025cb4b4e1c96831324570cbe2e1729",
    "Oxford-IIIT_50_train": "4287a80ca8eea4481e9fa51be512a321bbf1e04728d9d826f95500f5b8e31fe8",
    "Oxford-IIIT_test": "84c544ea61755937beb8de6d80907b039a68588f30fc5a21e6819726891e30ee",
    "StanfordDogs_100_train": "a538d0b07d578949fb5d49850088111578f8f1c062ab3cd8c2ebcfe8f529b6d9",
    "StanfordDogs_15_train": "9571413dfe39dcb2be909a8d0ebfc06502ccfffbc4edb83da7f9f2a3f19392ad",
    "StanfordDogs_30_train": "293a916515e5c92a67e9aef44b0e24478aa7066031ba332d4d263caeddfa015c",
    "StanfordDogs_50_train": "9233db12dc54efc34afe013b0772a333c8bffbd6f8ad1e2ca6185e32e67df389",
    "StanfordDogs_test": "11d50172ae89a2c9e718e0d04d8d949bf5163eefca4c3de64b9aca3dc0adccf8",
    "cub200_100_train": "72fcd3cda4bd8db348e76c5ed41dc46b805128dfe078a1a18b8a954cf2391038",
    "cub200_15_train": "0252ca56a08259d0b77f14f8795127253c66c0b84de59722e4397590ab5a4500",
    "cub200_30_train": "bb2b0bde86040f0b6dc385dde59f944f36bdf5e21c3be1e69a30e458b8efb59a",
    "cub200_50_train": "ac0cb4444a39b29f30b64c79b6c13f2007607c2107086543a3165736269a3875",
    "cub200_test": "8b93ad7677f5d6960bca54690f1410eb7f53995664c6f3fd9277288f6d7591e0",
    "stanford_cars_100_train": "14e666e716f67ef049d82c80ceb0f1ee7e9b373aafa9d1fc75b602683889706b",
    "stanford_cars_15_train": "b35de4e31a107ec97f95ea02ea1f986066f6d83ba021d405c42f3ce9867ceb8c",
    "stanford_cars_30_train": "1407ba3dd4f83b349246cdd1e2270d3eedf2f85c814ee9d13e7a9622048554b7",
    "stanford_cars_50_train": "4c847c88db6c63d82886f838adbb992e0a38357bd8175bb1c02d865e4c0def3f",
    "stanford_cars_test": "85c133b0bff29a4cc729fb4e461c207d6487c81300779e2544d590b42bae0cf9",
}

BSS_LISTS: MappingProxyType[str, Archive] = MappingProxyType(
    {
        f"{name}.txt": Archive(f"{name}.txt", (f"{_BSS}/{name}.txt",), sha256=digest)
        for name, digest in _SHA256.items()
    }
)
